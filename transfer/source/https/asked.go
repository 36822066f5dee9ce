package https

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"malcolm/transfer/source"
)

// mostRedirects is how many redirects in a row are followed.
const mostRedirects = 5

// An asked is one request for a part, with the redirects that it meets and the
// answer. It belongs to the goroutine that reads its body.
type asked struct {
	c    *conn
	b    *body
	part part

	to      hop
	typed   bool // to is the address typed
	hops    int  // redirects that were followed
	renewed bool // the address typed was asked once more
	retried bool // a link that was no longer alive was made anew

	request *http.Request
	link    *link
	old     bool // the link was there before
	answer
}

// An answer is the response to an asked.
type answer struct {
	resp   *http.Response
	body   answering
	ahead  int64 // bytes of it that come first and are thrown away
	length int64 // bytes of it that are still to be taken then
	whole  bool  // it is the whole file: see stream
}

// start sends the request to where the connection asks.
func (a *asked) start() error {
	a.c.mu.Lock()
	a.to, a.typed = a.c.at, a.c.typed
	a.c.mu.Unlock()
	if a.to.file != "" && a.to.file != a.part.path {
		a.to, a.typed = a.c.restart(), true
	}
	return a.orRestart(a.send(a.below(a.to)))
}

// orRestart asks the address typed once more if the place that redirects led to
// does not answer.
func (a *asked) orRestart(err error) error {
	if err == nil || a.typed || a.renewed || a.b.ctx.Err() != nil {
		return err
	}
	return a.restart()
}

// restart sends the request to the address typed.
func (a *asked) restart() error {
	a.renewed, a.typed, a.hops = true, true, 0
	return a.send(a.below(a.c.restart()))
}

// below returns the place of the part's file below an address.
func (a *asked) below(h hop) hop {
	if h.file == "" {
		h.url = Below(h.url, a.part.path)
	}
	return h
}

// Below returns the address of what lies at a path, in parts joined by "/",
// below the address of a directory. A query stays.
func Below(u *url.URL, path string) *url.URL {
	if path == "" {
		return u
	}
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	v := *u
	v.RawPath = strings.TrimSuffix(u.EscapedPath(), "/") + "/" + strings.Join(parts, "/")
	v.Path, _ = url.PathUnescape(v.RawPath) // it is what was escaped
	return &v
}

// send asks at a hop, over the link of the connection if that leads there.
func (a *asked) send(to hop) error {
	a.to, a.body = to, nil
	a.request = a.c.newRequest(to, &a.part)
	a.c.mu.Lock()
	l := a.c.link
	a.c.mu.Unlock()
	if l == nil || l.origin != originOf(to.url) {
		if err := a.dial(a.c.m.cfg.Links.take(to)); err != nil {
			return err
		}
	} else {
		a.link, a.old = l, l.used
		a.b.use(l)
	}
	if err := a.link.send(a.request); err != nil {
		if a.retry() {
			return a.again()
		}
		a.c.drop(a.link)
		return streamFault(err, askTime)
	}
	return nil
}

// dial takes a link to the hop that was kept. If kept is nil, it makes a new
// one.
func (a *asked) dial(kept *link) (err error) {
	l := kept
	if l == nil {
		if l, err = a.c.m.cfg.connect(a.b.ctx, a.to); err != nil {
			return err
		}
	}
	a.b.use(nil) // the last one may be kept, and must not be woken then
	if err := a.c.hold(l); err != nil {
		return err
	}
	a.link, a.old = l, kept != nil
	a.b.use(l)
	return nil
}

// retry reports whether the link may have died before the request, which is
// then sent over a new one.
func (a *asked) retry() bool {
	if !a.old || a.retried || a.b.ctx.Err() != nil {
		return false
	}
	a.retried = true
	return true
}

// again sends the request over a new link.
func (a *asked) again() error {
	a.c.drop(a.link)
	if err := a.dial(nil); err != nil {
		return err
	}
	if err := a.link.send(a.request); err != nil {
		a.c.drop(a.link)
		return streamFault(err, askTime)
	}
	return nil
}

// receive takes the answer, and follows where it leads. Afterwards length says
// what comes; 0: the file is empty.
func (a *asked) receive() *source.Fault {
	for {
		resp, body, err := a.link.receive(a.request)
		if err != nil {
			if a.link.failed != nil && !isLate(err) && a.retry() {
				if err = a.orRestart(a.again()); err == nil {
					continue
				}
				return a.at(streamFault(err, answerTime))
			}
			a.c.drop(a.link)
			return a.headFault(err)
		}
		a.resp, a.body = resp, body
		more, f := a.look()
		if !more || f != nil {
			return f
		}
	}
}

// look judges a response. more says that another response comes.
func (a *asked) look() (more bool, f *source.Fault) {
	status := a.resp.StatusCode
	if isRedirect(status) {
		return true, a.follow()
	}
	if isRefusal(status, a.part.path != "") && a.mayRenew() {
		a.rest()
		return true, faultOf(a.restart())
	}
	v := a.c.seen.look()
	w := wish{from: a.part.from, to: a.part.to, size: a.part.size, all: a.part.all}
	t, f := judge(w, status, a.resp.Header, a.resp.ContentLength)
	if f == nil {
		f = a.check(t, v)
	}
	if f != nil {
		a.rest()
		return false, a.at(f)
	}
	a.ahead, a.length, a.whole = t.skip, t.length, t.whole
	if !a.typed {
		a.c.remember(a.to, a.part.path)
	}
	return false, a.skip()
}

// check compares an answer that may be of use with what was seen before.
func (a *asked) check(t take, v view) *source.Fault {
	if a.part.all {
		return nil
	}
	if t.whole && v.whole && v.streamer != a.c {
		return errWhole
	}
	if a.part.path == "" { // else it is of one file of many
		size := max(a.part.size, t.total, 0)
		same := a.c.seen.file(size, versionOf(a.resp.Header))
		if !same && a.c.wanted() == nil {
			return saying(source.Changed, "its file changed")
		}
	}
	a.c.seen.change(func(s *seen) {
		s.worked = true
		if t.whole {
			s.whole, s.streamer = true, a.c
		}
	})
	return nil
}

// skip throws bytes away that come before those that are wanted. It can go on
// after a fault.
func (a *asked) skip() *source.Fault {
	var b [32 << 10]byte
	for a.ahead > 0 {
		if err := a.link.deadline(stallTime); err != nil {
			return a.bodyFault(err)
		}
		got, err := a.body.read(b[:min(a.ahead, int64(len(b)))])
		if a.ahead -= int64(got); err != nil {
			return a.bodyFault(err)
		}
	}
	return nil
}

func (a *asked) wait() error {
	err := a.link.deadline(stallTime)
	if err == nil {
		err = a.body.wait()
	}
	if err != nil {
		return a.c.note(a.bodyFault(err))
	}
	return nil
}

// read reads bytes that are wanted.
func (a *asked) read(p []byte) (int, error) {
	err := a.link.deadline(stallTime)
	n := 0
	if err == nil {
		n, err = a.body.read(p[:min(int64(len(p)), a.length)])
	}
	if n == 0 && err != nil {
		return 0, a.c.note(a.bodyFault(err))
	}
	a.length -= int64(n)
	return n, nil
}

// rest ends the use of a response that brings nothing.
func (a *asked) rest() {
	if !a.link.leave(a.resp, a.body) {
		a.c.drop(a.link)
	}
}

// leave ends the use of the answer. An answer with the whole file goes on with
// the next part. The body no longer wakes the link.
func (a *asked) leave() {
	if a.body == nil || a.link.failed != nil && !isLate(a.link.failed) { // it has not come, or no more comes
		a.c.drop(a.link)
		return
	}
	u, isUnsized := a.body.(*unsized)
	switch {
	case a.whole && !(isUnsized && a.link.failed != nil):
		a.link.woke.Store(false)
		a.c.stream = &stream{asked: a, at: a.part.to - a.length - a.ahead}
		return
	case isUnsized && !u.ended && a.length == 0:
		u.finish()
	}
	if !a.link.leave(a.resp, a.body) {
		a.c.drop(a.link)
	}
}

// headFault says why the head of a response did not come.
func (a *asked) headFault(err error) *source.Fault {
	switch {
	case a.link.failed == errLongHead, err == errInterim:
		return a.at(saying(source.Unsupported, "the mirror's answer has no end to its headers"))
	case err == errWoken:
		return errGivenUp
	case a.link.failed == nil:
		return a.at(saying(source.Foreign, "something else than HTTP answers"))
	case isEnd(err):
		return a.at(saying(source.Lost, "the mirror closed the connection without an answer"))
	}
	return a.at(streamFault(err, answerTime))
}

// bodyFault says why no more bytes came.
func (a *asked) bodyFault(err error) *source.Fault {
	switch {
	case err == errWoken:
		return errGivenUp
	case err == io.EOF, isEnd(err):
		return a.at(saying(source.Lost, "the mirror ended the answer early"))
	case a.link.failed == nil:
		return a.at(saying(source.Wrong, "the mirror's answer breaks HTTP"))
	}
	return a.at(streamFault(err, stallTime))
}

// at adds to a fault which host it was, if a redirect led there.
func (a *asked) at(f *source.Fault) *source.Fault {
	if a.typed || originOf(a.to.url) == originOf(a.c.m.typed.Load()) {
		return f
	}
	at := *f
	host := a.to.url.Hostname()
	at.Words += ", at host " + strconv.Quote(host[:min(len(host), 255)]) + ", where a redirect leads"
	return &at
}

func isEnd(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF }

func faultOf(err error) *source.Fault {
	if err == nil {
		return nil
	}
	return streamFault(err, askTime)
}
