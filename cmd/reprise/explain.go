package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reprise-go/reprise/cmd/reprise/internal/explain"
)

// explainTimeout bounds the request that explain sends.
const explainTimeout = 30 * time.Second

func explainCommand() *cobra.Command {
	var x explain.Exchange
	var fields []string
	var file string
	cmd := &cobra.Command{
		Use:   "explain [URL]",
		Short: "Say what a shared cache makes of a response, and by which section",
		Long: `Explain asks the origin itself for a URL, not through the proxy, or reads a response from a
file, and prints each decision that reprise proxy makes about it.

  reprise explain http://127.0.0.1:3000/products/42
  reprise explain --request-header 'Cookie: session=1' http://127.0.0.1:3000/
  curl -si http://127.0.0.1:3000/ | reprise explain --response -`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x.Request = make(http.Header)
			for _, f := range fields {
				name, value, ok := strings.Cut(f, ":")
				if !ok {
					return fmt.Errorf("--request-header %q: has no colon; write 'Name: value'", f)
				}
				x.Request.Add(strings.TrimSpace(name), strings.TrimSpace(value))
			}
			var err error
			switch {
			case (file == "") == (len(args) == 0):
				err = errors.New("give either a URL or --response")
			case file != "":
				err = readResponse(&x, file, cmd.InOrStdin())
			default:
				err = fetch(cmd.Context(), &x, args[0])
			}
			if err != nil {
				return err
			}
			return printDecisions(cmd.OutOrStdout(), x)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&x.Method, "method", http.MethodGet, "method of the request")
	flags.StringArrayVar(&fields, "request-header", nil, "field of the request, 'Name: value'")
	flags.StringVar(&file, "response", "", "file with the head of a response, as curl -i prints it; - is standard input")
	flags.BoolVar(&x.AllowSetCookie, "allow-set-cookie", false, "as in proxy")
	flags.BoolVar(&x.AllowCookies, "allow-cookies", false, "as in proxy")
	return cmd
}

// fetch asks the origin. The body is not read: nothing depends on it.
func fetch(ctx context.Context, x *explain.Exchange, raw string) error {
	if u, err := url.Parse(raw); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not a URL of http or https; give one such as http://127.0.0.1:3000/page", raw)
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, x.Method, raw, nil)
	if err != nil {
		return err
	}
	r.Header = x.Request.Clone()
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	x.Sent = time.Now()
	res, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	x.Received = time.Now()
	x.Status, x.Response = res.StatusCode, res.Header
	return nil
}

func readResponse(x *explain.Exchange, file string, stdin io.Reader) error {
	in := stdin
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the user's own
		if err != nil {
			return fmt.Errorf("--response: %w", err)
		}
		defer f.Close()
		in = f
	}
	br := bufio.NewReader(in)
	res, err := readHead(br)
	for err == nil && res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		res, err = readHead(br) // what is before it is not the response
	}
	if err != nil {
		return fmt.Errorf("--response: %w", err)
	}
	defer res.Body.Close()
	x.Sent = time.Now()
	x.Received = x.Sent
	x.Status, x.Response = res.StatusCode, res.Header
	return nil
}

// readHead reads the head of a response. Version 2 and 3 have no text form but that of curl, which writes no minor version.
func readHead(br *bufio.Reader) (*http.Response, error) {
	line, err := br.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("no status line: %w", err)
	}
	_, status, ok := strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(line, "HTTP/") {
		return nil, fmt.Errorf("%q is no status line", strings.TrimSpace(line))
	}
	var head strings.Builder
	head.WriteString("HTTP/1.1 " + status)
	for strings.TrimSpace(line) != "" && err == nil {
		line, err = br.ReadString('\n')
		head.WriteString(line)
	}
	return http.ReadResponse(bufio.NewReader(strings.NewReader(head.String())), nil)
}

func printDecisions(out io.Writer, x explain.Exchange) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "status\t\t%d %s\n", x.Status, http.StatusText(x.Status))
	last := ""
	for _, d := range explain.Decisions(x) {
		question := d.Question
		if question == last {
			question = ""
		}
		last = d.Question
		section := d.Section
		if section == "" {
			section = "reprise"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", question, section, d.Answer)
	}
	return w.Flush()
}
