package cli

import "github.com/spf13/cobra"

func (c *command) demo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See a good version promoted and bad ones rolled back, within a minute",
		Long: `Demo starts a sample shop, its users and the proxy on this machine, releases a
good version and two bad ones, and shows what happens. It needs no files and
leaves the runs' reports.`,
		Example: "  serin demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			return c.Demo(ctx, DemoOptions{
				Out: c.out, Terminal: interactive(c.out), Color: colored(c.out), Size: size(c.out), Logger: c.logger(nil),
			})
		},
	}
}

// shop is the program that the demo starts.
func (c *command) shop() *cobra.Command {
	return &cobra.Command{
		Use:                "demo-shop",
		Short:              "The sample shop of the demo",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			return c.Shop(ctx, args)
		},
	}
}
