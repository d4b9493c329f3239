package cli

import (
	"github.com/spf13/cobra"
)

func (c *command) demo() *cobra.Command {
	var o DemoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a good version promoted and bad ones rolled back, within a minute",
		Long: `Demo starts a sample shop, its users and the proxy on this machine, releases a
good version and two bad ones, and shows what happens. It needs no files, and
leaves its state and the runs' reports in a folder that it names.`,
		Example: `  serin demo
  serin demo --serve`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			o.Out = c.out
			o.Terminal, o.Color, o.Size = interactive(c.out), colored(c.out), size(c.out)
			return c.Demo(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&o.Stay, "serve", false, "go on serving the shop and its users afterwards, until interrupted")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "folder to leave everything in (default: a new one)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "seed of the users' and the shop's chance (default: a new one)")
	return cmd
}

// shop is the program that the demo starts.
func (c *command) shop() *cobra.Command {
	return &cobra.Command{
		Use:                "demo-shop",
		Short:              "The sample shop of the demo",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := c.Shop(args, c.err); code != 0 {
				return &exit{code: code}
			}
			return nil
		},
	}
}
