package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/reprise-go/reprise/cmd/reprise/internal/demo"
	"github.com/reprise-go/reprise/store"
)

func demoCommand() *cobra.Command {
	var listen, storeURL, beside string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a slow bookshop and show what the cache makes of it",
		Long: `Demo starts a small bookshop API whose handlers are slow, walks a tour against it
over HTTP, checks what each step says, and goes on serving for your own requests.

Two demos on one store show each other's hits:

  reprise demo --store redis://localhost:6379`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, closer, err := openStore(cmd.Context(), storeURL)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closer.Close()) }()
			out := cmd.OutOrStdout()
			cfg := demo.Config{
				Out:       out,
				Color:     colorful(out),
				Listen:    listen,
				Once:      once,
				Store:     s,
				StoreName: redacted(storeURL),
			}
			if beside != "" {
				return demo.Beside(cmd.Context(), cfg, beside, cmd.InOrStdin())
			}
			if _, local := s.(store.Local); !local {
				cfg.Beside = func(ctx context.Context, at string) (*exec.Cmd, error) {
					self, err := os.Executable()
					return exec.CommandContext(ctx, self, "demo", "--store", storeURL, "--beside", at), err //nolint:gosec // this program
				}
			}
			return demo.Run(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&once, "once", false, "end after the tour; the exit code is 0 only if every step showed what it says")
	flags.StringVar(&listen, "listen", "127.0.0.1:0", "address of the bookshop; port 0 is any free one")
	flags.StringVar(&storeURL, "store", "memory://", "where answers are kept: "+storeForms)
	flags.StringVar(&beside, "beside", "", "serve the pages of another demo's tour, below this path, until standard input ends")
	if err := flags.MarkHidden("beside"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// colorful reports whether w is a terminal whose user did not ask for plain text (https://no-color.org).
func colorful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
