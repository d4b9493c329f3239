package cli

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

func (c *command) serve() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "serve -f DIR",
		Short: "Be the daemon on one machine: proxies, processes, runs and their API",
		Long: `Serve keeps the proxy and the stable processes of every rollout in DIR up, and
carries their runs ("serin release"). Interrupting it leaves the processes
running; started again, it takes them over. SIGHUP lets a successor take over with
the files as they are then, without dropping a connection.`,
		Example: `  serin serve -f /etc/serin
  systemctl reload serin      # read /etc/serin again`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := c.stateDir()
			if err != nil {
				return err
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			reload, stopReload := onHangup()
			defer stopReload()
			return c.Serve(ctx, ServeOptions{
				State: state, Dir: dir, Logger: logger(c.err, slog.LevelInfo), Reload: reload,
				Ready: func(listen map[string]string) {
					for _, name := range slices.Sorted(maps.Keys(listen)) {
						fmt.Fprintf(c.err, "%s: users are served at %s\n", name, listen[name])
					}
				},
			})
		},
	}
	cmd.Flags().StringVarP(&dir, "file", "f", "", "folder of files with rollouts, or one such file")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}
