package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/reprise-go/reprise/cmd/reprise/internal/config"
	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// proxyFlags are the settings of the proxy as flags give them. A file has the same ones under the same names.
type proxyFlags struct {
	proxy.Config

	origin    string
	store     string
	tokenFile string
	trusted   []string
	reflect   string
	accessLog string
	config    string
	check     bool
}

func proxyCommand() *cobra.Command {
	f := &proxyFlags{Config: proxy.Defaults()}
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Cache what an application answers, in any language, by RFC 9111",
		Long: `Proxy is a shared HTTP cache in front of one application:

  reprise proxy --origin http://127.0.0.1:3000

What is stored, and for how long, the application says with Cache-Control; docs/proxy.md
has examples. A request with Authorization or Cookie neither fills nor is answered from
what is shared, unless the response says public or s-maxage.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && f.origin == "" {
				return errors.New("the URL of the application belongs to --origin, as in --origin http://127.0.0.1:3000")
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.Flags(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.declare(cmd.Flags())
	return cmd
}

func (f *proxyFlags) declare(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.config, "config", "", "file with these settings (with _ for -) and the rules of routes; flags win over it")
	flags.BoolVar(&f.check, "check", false, "print every mistake in the configuration and end")
	flags.StringVar(&f.origin, "origin", "", "URL of the application, such as http://127.0.0.1:3000")
	flags.StringVar(&f.Listen, "listen", f.Listen, "address of the proxy")
	flags.StringVar(&f.Admin, "admin", f.Admin, `address of health checks and purging; "" is none`)
	flags.StringVar(&f.tokenFile, "admin-token-file", "", "file with the bearer token that purging and listing need; without one the admin address must be on loopback")
	flags.StringVar(&f.store, "store", "memory://", "where answers are kept: "+storeForms)
	flags.DurationVar(&f.StoreTimeout, "store-timeout", f.StoreTimeout, "how long the store may take before the origin is asked instead")
	flags.StringVar(&f.TLSCert, "tls-cert", "", "file with the certificate and its chain, in PEM")
	flags.StringVar(&f.TLSKey, "tls-key", "", "file with the key of the certificate, in PEM")
	flags.BoolVar(&f.H2C, "h2c", false, "take HTTP/2 without TLS too")
	flags.BoolVar(&f.RewriteHost, "rewrite-host", false, "send the origin its own name in Host; the client's is in X-Forwarded-Host in any case")
	flags.StringSliceVar(&f.trusted, "trusted-proxies", nil, "networks whose X-Forwarded-For, -Host and -Proto are believed, such as 10.0.0.0/8")
	flags.BoolVar(&f.AllowSetCookie, "allow-set-cookie", false, "store responses with Set-Cookie, as RFC 9111 allows: everybody gets that cookie")
	flags.BoolVar(&f.AllowCookies, "allow-cookies", false, "answer requests with Cookie from what is shared, as RFC 9111 allows")
	flags.StringVar(&f.reflect, "reflection", string(f.Reflection), "what becomes of a response that repeats an unkeyed request field: refuse, observe or off")
	flags.StringVar(&f.TagField, "tag-field", "", "field of responses that lists their tags for purging, such as Cache-Tag; clients do not get it")
	flags.IntVar(&f.MaxOriginRequests, "max-origin-requests", f.MaxOriginRequests, "requests at the origin at once; more wait")
	flags.IntVar(&f.MaxWaiting, "max-waiting", f.MaxWaiting, "requests that wait for the origin; more get 503")
	flags.DurationVar(&f.OriginTimeout, "origin-timeout", f.OriginTimeout, "longest wait for the head of a response; beyond it 504")
	flags.DurationVar(&f.HeaderTimeout, "header-timeout", f.HeaderTimeout, "longest time in which a client sends the head of a request")
	flags.DurationVar(&f.IdleTimeout, "idle-timeout", f.IdleTimeout, "how long a connection stays open between requests, and while its client does not send or read on")
	flags.IntVar(&f.MaxHeaderBytes, "max-header-bytes", f.MaxHeaderBytes, "largest head of a request; beyond it 431")
	flags.DurationVar(&f.DrainTimeout, "drain-timeout", f.DrainTimeout, "how long requests may take to end after SIGTERM")
	flags.StringVar(&f.accessLog, "access-log", "json", "a line per request on standard output: json, text or off")
}

// finish makes the settings that are more than their flags' values.
func (f *proxyFlags) finish(out io.Writer) error {
	var errs []error
	fail := func(setting, format string, args ...any) {
		errs = append(errs, &proxy.Mistake{Setting: setting, Reason: fmt.Sprintf(format, args...)})
	}
	if f.origin != "" {
		u, err := url.Parse(f.origin)
		if err != nil {
			fail("origin", "this is no URL; give one such as http://127.0.0.1:3000")
			u = &url.URL{Scheme: "http", Host: "invalid"} // one mistake is reported once
		}
		f.Origin = u
	}
	for _, text := range f.trusted {
		p, err := prefix(text)
		if err != nil {
			fail("trusted-proxies", "%q is neither an address nor a network such as 10.0.0.0/8", text)
			continue
		}
		f.TrustedProxies = append(f.TrustedProxies, p)
	}
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		switch f.AdminToken = strings.TrimSpace(string(b)); {
		case err != nil:
			fail("admin-token-file", "%v", err)
		case strings.ContainsFunc(f.AdminToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
			fail("admin-token-file", "%q holds more than one line of visible ASCII, which no request can send; write one token into it", f.tokenFile)
		case len(f.AdminToken) < 16:
			fail("admin-token-file", "%q holds fewer than 16 characters; write a random token into it", f.tokenFile)
		}
	}
	if f.TLSCert != "" && f.TLSKey != "" {
		if _, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey); err != nil {
			fail("tls-cert", "%s with %s: %v", f.TLSCert, f.TLSKey, err)
		}
	}
	f.Reflection = proxy.Reflection(f.reflect)
	switch f.accessLog {
	case "json":
		f.AccessLog = slog.New(slog.NewJSONHandler(out, nil))
	case "text":
		f.AccessLog = slog.New(slog.NewTextHandler(out, nil))
	case "off":
	default:
		fail("access-log", "%q is none of json, text, off", f.accessLog)
	}
	return errors.Join(append(errs, f.Check())...)
}

func prefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), nil // as peers' addresses are compared
	}
	return p, err
}

// read makes the settings of flags and file. The error is every mistake, joined.
func (f *proxyFlags) read(flags *pflag.FlagSet, out io.Writer) error {
	if f.config == "" {
		return f.finish(out)
	}
	text, err := os.ReadFile(f.config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	file := config.Read(f.config, text, flags, "config", "check", "help")
	f.Routes = file.Routes
	return file.Mistakes(f.finish(out))
}

func (f *proxyFlags) run(ctx context.Context, flags *pflag.FlagSet, stdout, stderr io.Writer) (err error) {
	if err := f.read(flags, stdout); err != nil {
		return err
	}
	if f.check {
		if err := checkStore(ctx, f.store); err != nil {
			return err
		}
		_, err := fmt.Fprintln(stdout, "the configuration has no mistakes")
		return err
	}
	s, closer, err := openStore(ctx, f.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	f.Store = s
	f.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	server, err := proxy.New(f.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return server.Run(ctx, func(front, admin net.Addr) {
		attrs := []any{"proxy", front.String(), "origin", f.Origin.String(), "store", redacted(f.store)}
		if admin != nil {
			attrs = append(attrs, "admin", admin.String())
		}
		f.Logger.Info("reprise proxy: listening", attrs...)
	})
}
