package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the Go that built it",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version(debug.ReadBuildInfo()))
			return err
		},
	}
}

// version returns what the build recorded: the module's version or, of a build from a checkout, its commit.
func version(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "reprise (unknown version)"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if commit := settings["vcs.revision"]; v == "(devel)" && commit != "" {
		v += " " + commit[:min(12, len(commit))]
		if settings["vcs.modified"] == "true" {
			v += "+changes"
		}
	}
	return "reprise " + v + " " + info.GoVersion
}
