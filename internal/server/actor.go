package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
)

type actorKey struct{}

// withActor notes who is at the other end.
func withActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// actor returns who asks. Nobody may act without a name.
func actor(ctx context.Context) (string, error) {
	if who, ok := ctx.Value(actorKey{}).(string); ok && who != "" {
		return who, nil
	}
	return "", fmt.Errorf("who asks cannot be seen: %w; ask through Serin's Unix socket", errForbidden)
}

// atOtherEnd notes the user at the other end of a new connection; it is an
// http.Server's ConnContext.
func atOtherEnd(ctx context.Context, c net.Conn) context.Context {
	uid, ok := peer(c)
	if !ok {
		return ctx
	}
	return withActor(ctx, userName(uid))
}

// userName is the name of a user of this machine, or its number.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid " + id
}

// CurrentUser is who runs this program.
func CurrentUser() string { return userName(os.Getuid()) }
