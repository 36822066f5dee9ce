package https

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

func address(s string) *url.URL { return parseAddress(s) }

func TestContentRange(t *testing.T) {
	for s, want := range map[string]string{
		"bytes 0-0/1":                     "{0 1 1}",
		"bytes 5-9/*":                     "{5 10 -1}",
		"BYTES 5-9/10":                    "{5 10 10}",
		"bytes */0":                       "{0 0 0}",
		"bytes */10":                      "{0 0 10}",
		"bytes 0-4611686018427387902/*":   "{0 4611686018427387903 -1}",
		"":                                "",
		"bytes":                           "",
		"bytes 0-9":                       "",
		"bytes=0-9/10":                    "",
		"bytes 5-4/10":                    "",
		"bytes 0-10/10":                   "",
		"bytes */*":                       "",
		"bytes -5/10":                     "",
		"bytes 5-/10":                     "",
		"bytes +5-9/10":                   "",
		"bytes 0x5-9/10":                  "",
		"bytes 0-9/10, bytes 10-19/20":    "",
		"bytes 0-4611686018427387904/*":   "",
		"bytes 0-9/99999999999999999999":  "",
		"bytes 18446744073709551615-1/10": "",
	} {
		got := ""
		if r, ok := parseContentRange([]string{s}); ok {
			got = fmt.Sprint(r)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	if _, ok := parseContentRange([]string{"bytes 0-0/1", "bytes 0-0/1"}); ok {
		t.Error("two values")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(1999, 12, 31, 23, 59, 29, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"120":                            2 * time.Minute,
		"-1":                             0,
		"1.5":                            0,
		"soon":                           0,
		"99999999999999999999999":        0,
		"9999999999":                     4294967 * time.Second,
		"Fri, 31 Dec 1999 23:59:59 GMT":  30 * time.Second,
		"Fri, 31 Dec 1999 23:59:00 GMT":  0,
		"Friday, 31-Dec-99 23:59:59 GMT": 30 * time.Second,
		"Fri, 31 Dec 2999 23:59:59 GMT":  (1<<32 - 1) * time.Millisecond,
	} {
		if got := parseRetryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
	// A clock that is wrong here or there changes nothing.
	h := http.Header{"Retry-After": {"Fri, 31 Dec 1999 23:59:59 GMT"}, "Date": {"Fri, 31 Dec 1999 23:59:49 GMT"}}
	if got := parseRetryAfter(h, now.Add(1000*time.Hour)); got != 10*time.Second {
		t.Errorf("by its own clock: %v", got)
	}
}

// Whatever headers say, what is taken lies in what was asked for.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/100", "bytes */10", "bytes 1-2/*", "x"} {
		f.Add(206, s, "7", "", "", int64(10), int64(5), int64(9), int64(100))
		f.Add(200, s, "7", "gzip", "text/html", int64(-1), int64(0), int64(1), int64(-1))
		f.Add(416, s, "Fri, 31 Dec 1999 23:59:59 GMT", "", "", int64(0), int64(5), int64(9), int64(9))
	}
	f.Fuzz(func(t *testing.T, status int, contentRange, retryAfter, encoding, media string, length, from, to, size int64) {
		if from < 0 || to <= from || size >= 0 && to > size || size < -1 || length < -1 {
			return
		}
		h := http.Header{"Content-Range": {contentRange}, "Retry-After": {retryAfter}, "Content-Encoding": {encoding}, "Content-Type": {media}}
		w := wish{from: from, to: to, size: size}
		got, fault := judge(w, status, h, length)
		if wait := parseRetryAfter(h, time.Now()); wait < 0 || wait > longestWait*time.Millisecond {
			t.Errorf("to wait: %v", wait)
		}
		if r, ok := parseContentRange(h["Content-Range"]); ok {
			again := fmt.Sprintf("bytes %d-%d/%d", r.from, r.to-1, r.total)
			if r.unsatisfied() {
				again = fmt.Sprintf("bytes */%d", r.total)
			} else if r.total < 0 {
				again = fmt.Sprintf("bytes %d-%d/*", r.from, r.to-1)
			}
			if r2, ok := parseContentRange([]string{again}); !ok || r2 != r {
				t.Errorf("%q: %+v, then %+v", contentRange, r, r2)
			}
		}
		if fault != nil {
			if got != (take{}) || fault.Words == "" {
				t.Errorf("%+v and %v", got, fault)
			}
			return
		}
		if got.length > to-from || got.skip > from || got.skip < 0 || got.length < 0 || size >= 0 && got.total >= 0 && got.total != size {
			t.Errorf("%+v of %+v", got, w)
		}
	})
}

// A fault is told once, and its seeds are there.
func TestSeedsOfJudge(t *testing.T) {
	got, fault := judge(wish{from: 0, to: 10, size: 10}, 206, http.Header{"Content-Range": {"bytes 0-9/10"}}, 10)
	if want := (take{length: 10, total: 10}); got != want || fault != nil {
		t.Errorf("%+v, %v", got, fault)
	}
}
