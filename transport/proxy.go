package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxProxyHead bounds the head of a proxy's response, in bytes.
const maxProxyHead = 8 << 10

// A ProxyError says that a proxy did not connect us to a server.
type ProxyError struct {
	Proxy string // host and port
	// Status is that of the proxy's response, as 403; 0: its response was
	// none of HTTP, or too long.
	Status int
	// Text is what the proxy said, at most 256 bytes. It is hostile: print
	// it only with %q.
	Text string
}

func (e *ProxyError) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("proxy %s does not answer in HTTP: %q", e.Proxy, e.Text)
	case e.Status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("proxy %s asks for a user and a password, as in http://USER:PASSWORD@%s", e.Proxy, e.Proxy)
	}
	return fmt.Sprintf("proxy %s refuses with status %d: %q", e.Proxy, e.Status, e.Text)
}

// ProxyDialer returns a function for [DialTCP] that connects to remote, a host
// and a port, through the proxy at an http:// address (CONNECT, RFC 9110,
// section 9.3.6). A user and a password in the address are shown to the proxy.
// dial makes the connection to the proxy; nil: that of the system.
//
// The function's error is a NetworkError of kind ProxyFailed, and wraps a
// [*ProxyError] if the proxy answers. ProxyDialer fails if the address cannot
// be used.
func ProxyDialer(proxy *url.URL, remote string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (func(context.Context) (net.Conn, error), error) {
	if proxy.Scheme != "http" || proxy.Hostname() == "" {
		return nil, &LocalError{Kind: LocalConfig, Err: fmt.Errorf("proxy %q is not at an http:// address", proxy.Redacted())}
	}
	if _, _, err := net.SplitHostPort(remote); err != nil || strings.ContainsAny(remote, " \r\n") {
		return nil, &LocalError{Kind: LocalConfig, Err: fmt.Errorf("%q is no host and port", remote)}
	}
	at := proxy.Host
	if proxy.Port() == "" {
		at = net.JoinHostPort(proxy.Hostname(), "80")
	}
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	request := connectRequest(proxy.User, remote)
	return func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx, "tcp", at)
		if err != nil {
			return nil, &NetworkError{Kind: ProxyFailed, Err: fmt.Errorf("dial the proxy %s: %w", at, err)}
		}
		stop := context.AfterFunc(ctx, func() { c.SetDeadline(past) })
		err = connect(c, at, request)
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			c.Close()
			return nil, &NetworkError{Kind: ProxyFailed, Err: err}
		}
		c.SetDeadline(time.Time{})
		return c, nil
	}, nil
}

// connectRequest returns the request that has a proxy connect to remote.
func connectRequest(user *url.Userinfo, remote string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", remote, remote)
	if user != nil {
		password, _ := user.Password()
		secret := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n", secret)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// connect has a proxy connect c. Nothing is read beyond its response: the first
// words are the client's.
func connect(c net.Conn, proxy string, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return fmt.Errorf("ask the proxy %s: %w", proxy, err)
	}
	head, err := readHead(c)
	if err != nil && len(head) == 0 {
		return fmt.Errorf("wait for the proxy %s: %w", proxy, err)
	}
	refused := &ProxyError{Proxy: proxy, Text: bounded(string(head))}
	if err != nil {
		return refused
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return refused
	}
	r.Body.Close()
	if r.StatusCode/100 != 2 {
		refused.Status, refused.Text = r.StatusCode, bounded(r.Status)
		return refused
	}
	return nil
}

var errLongHead = errors.New("the response is too long")

// readHead reads the head of a response, byte by byte.
func readHead(r io.Reader) (head []byte, err error) {
	for one := make([]byte, 1); len(head) < maxProxyHead; {
		if _, err := io.ReadFull(r, one); err != nil {
			return head, err
		}
		head = append(head, one[0])
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			return head, nil
		}
	}
	return head, errLongHead
}
