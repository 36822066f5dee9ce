package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"malcolm/certs"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/serve/web"
)

type linkCmd struct {
	Paths   []string      `arg:"" name:"name" help:"What the link opens: the name of the file that serve offers; in a directory a PATH, which with a / at its end opens all that lies below; / is everything."`
	Expires flags.Timeout `default:"1h" placeholder:"TIME" help:"How long the link is good. Default ${default}."`
	Token   *flags.Token  `required:"" placeholder:"WHERE" help:"The secret of serve --token: @FILE, env:NAME, or - for standard input."`
	URL     string        `name:"url" placeholder:"URL" help:"Address of serve, such as https://files.example:10001. Default: only the path is printed."`
}

// Help is what kong prints after the flags.
func (*linkCmd) Help() string {
	return `Examples:
  malcolm link --token @token --url https://files.example:10001 data.mp4
  malcolm link --token @token --expires 168h photos/
  malcolm link --token env:TOKEN photos/a.jpg photos/b.jpg

A server with --https or --http, and a token, answers browsers and curl only at such addresses. The token is not in them, and nothing is asked of the server.`
}

func (*linkCmd) mode() (screen.ColorMode, error) { return screen.ColorAuto, nil }

func (c *linkCmd) run(_ context.Context, _ []string, t *terminal) error {
	if strings.HasPrefix(c.Token.Where, "new:") {
		return usage("--token new:FILE makes a token and is for serve; use @FILE, env:NAME or - here")
	}
	origin, err := c.origin()
	if err != nil {
		return err
	}
	for _, path := range c.Paths {
		if strings.Count(path, "/") > certs.MaxLinkDepth {
			return usage(fmt.Sprintf("%s lies below more than %d directories: make the link of one above it", human.Quote(path), certs.MaxLinkDepth-1))
		}
	}
	token, err := t.readToken(c.Token)
	if err != nil {
		return err
	}
	expires := time.Now().Add(c.Expires.Duration())
	for _, path := range c.Paths {
		path = "/" + strings.TrimPrefix(path, "/")
		t.Result(origin + web.Escape(path) + "?" + token.NewLink(path, expires).Query())
	}
	return nil
}

// origin returns what stands before the path of an address.
func (c *linkCmd) origin() (string, error) {
	if c.URL == "" {
		return "", nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		return "", usage(fmt.Sprintf("--url %s: give the address of serve, such as https://files.example:10001", human.Quote(c.URL)))
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", usage(fmt.Sprintf("--url %s: give it without a path, which comes from the name", human.Quote(c.URL)))
	}
	return u.Scheme + "://" + u.Host, nil
}
