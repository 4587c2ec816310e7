package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// adminTimeout bounds a call of the admin endpoints.
const adminTimeout = time.Minute

// adminClient calls the admin endpoints of a proxy.
type adminClient struct{ address, tokenFile string }

func (c *adminClient) declare(flags *pflag.FlagSet) {
	flags.StringVar(&c.address, "admin", "127.0.0.1:9090", "admin address of the proxy, host:port or a URL")
	flags.StringVar(&c.tokenFile, "admin-token-file", "", "file with the proxy's bearer token")
}

// call sends a request and returns the body of a 200.
func (c *adminClient) call(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	base := c.address
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--admin-token-file: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("--admin %s: %w", c.address, err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		why, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return nil, fmt.Errorf("the proxy at %s says %s: %s", c.address, res.Status, strings.TrimSpace(string(why)))
	}
	return res.Body, nil
}

func purgeCommand() *cobra.Command {
	var client adminClient
	var p proxy.Purge
	cmd := &cobra.Command{
		Use:   "purge [URL…]",
		Short: "Make a proxy forget pages: by URL, tag or prefix",
		Long: `Purge asks a running proxy to forget what it has stored. When the command ends, no older answer
comes back, from no proxy with the same store.

  reprise purge https://shop.test/products/42     with all its variants
  reprise purge /products/42                      on every host
  reprise purge --prefix /products/ --tag news`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
			defer cancel()
			p.URLs = args
			body, err := client.call(ctx, http.MethodPost, "/purge", p)
			if err != nil {
				return err
			}
			return body.Close()
		},
	}
	flags := cmd.Flags()
	client.declare(flags)
	flags.StringArrayVar(&p.Tags, "tag", nil, "what has this tag")
	flags.StringArrayVar(&p.Prefixes, "prefix", nil, "what is below this path, which ends in a slash")
	flags.StringArrayVar(&p.Keys, "key", nil, "what is stored under this key, as ls shows it")
	flags.BoolVar(&p.All, "all", false, "everything")
	flags.BoolVar(&p.Soft, "soft", false, "keep it as stale: it is served while it is refreshed or instead of an error, where its response allows that")
	return cmd
}

func lsCommand() *cobra.Command {
	var client adminClient
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [KEY PREFIX]",
		Short: "List what a proxy has stored",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
			defer cancel()
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if len(args) == 1 {
				q.Set("prefix", args[0])
			}
			body, err := client.call(ctx, http.MethodGet, "/entries?"+q.Encode(), nil)
			if err != nil {
				return err
			}
			defer body.Close()
			if asJSON {
				_, err := io.Copy(cmd.OutOrStdout(), body)
				return err
			}
			return table(cmd.OutOrStdout(), body, time.Now())
		},
	}
	flags := cmd.Flags()
	client.declare(flags)
	flags.IntVar(&limit, "limit", 1000, "most entries to list")
	flags.BoolVar(&asJSON, "json", false, "a line of JSON for each entry")
	return cmd
}

// table writes lines of JSON for people.
func table(out io.Writer, in io.Reader, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATUS\tBYTES\tAGE\tTTL\tKEY")
	d := json.NewDecoder(bufio.NewReader(in))
	for {
		var e proxy.Listed
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return w.Flush()
		} else if err != nil {
			return errors.Join(fmt.Errorf("the proxy's list is not complete: %w", err), w.Flush())
		}
		status := strconv.Itoa(e.Status)
		if e.Status == 0 {
			status = e.Kind
		}
		ttl := "forever"
		switch {
		case e.Stale:
			ttl = "stale"
		case !e.Expires.IsZero():
			ttl = e.Expires.Sub(now).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", status, e.Bytes, now.Sub(e.Stored).Round(time.Second), ttl, e.Key)
	}
}

// readyCommand is a health check for containers that have no other program.
func readyCommand() *cobra.Command {
	var client adminClient
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Exit with 0 if a proxy takes requests",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			body, err := client.call(ctx, http.MethodGet, "/readyz", nil)
			if err != nil {
				return err
			}
			return body.Close()
		},
	}
	client.declare(cmd.Flags())
	return cmd
}
