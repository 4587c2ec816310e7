// Command reprise is the cache as a program: a demonstration, a reverse proxy for applications in any language, the commands
// that list what a proxy has stored and make it forget, and one that says what a shared cache makes of a response.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code. The first SIGINT or SIGTERM ends the command's context, a
// second one the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := rootCommand()
	root.SetArgs(append([]string{}, args...)) // of nil cobra makes the arguments of the process
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "reprise: %v\n", err)
		return 1
	}
	return 0
}

// command refuses what is no command of root.
func command(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q; %s --help lists the commands", args[0], root.CommandPath())
}

// noArguments refuses what belongs to no flag. cobra would call it an unknown command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes flags alone, and %q belongs to none; %s --help lists them", cmd.Name(), args[0], cmd.CommandPath())
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "reprise",
		Short:         "A response cache for Go services",
		SilenceUsage:  true,
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2,
		Args:                       command,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	root.AddCommand(demoCommand(), proxyCommand(), purgeCommand(), lsCommand(), explainCommand(), readyCommand(), versionCommand())
	return root
}
