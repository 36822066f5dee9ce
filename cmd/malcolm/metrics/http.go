package metrics

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// Time limits of a client: requestTime to ask, replyTime to take the
	// reply, quietTime without a request. endTime bounds a reply that is
	// under way at the end.
	requestTime = 5 * time.Second
	replyTime   = 30 * time.Second
	quietTime   = 2 * time.Minute
	endTime     = time.Second
	// gatherTime bounds a scrape.
	gatherTime = 5 * time.Second
	// mostConns, mostScrapes and mostHead bound what clients may cost:
	// connections, scrapes at a time, and bytes of a request's head.
	mostConns   = 64
	mostScrapes = 4
	mostHead    = 16 << 10
	// profileTime is the longest profile.
	profileTime = 10 * time.Minute
)

// A listener serves over HTTP.
type listener struct {
	server *http.Server
	ended  chan struct{} // closed when nobody accepts any more
}

func listen(ln net.Listener, h http.Handler) *listener {
	crowd := crowd{most: mostConns}
	l := &listener{
		server: &http.Server{
			Handler: h, ReadHeaderTimeout: requestTime, ReadTimeout: requestTime, WriteTimeout: replyTime,
			IdleTimeout: quietTime, MaxHeaderBytes: mostHead, ErrorLog: log.New(io.Discard, "", 0),
			ConnState: crowd.watch,
		},
		ended: make(chan struct{}),
	}
	go func() {
		defer close(l.ended)
		l.server.Serve(ln)
	}()
	return l
}

// close lets replies under way end, for a while, and waits for the listener.
func (l *listener) close() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		l.server.Close()
	}
	<-l.ended
}

func (m *Metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.all, promhttp.HandlerOpts{
		MaxRequestsInFlight: mostScrapes, Timeout: gatherTime, CoalesceGather: true,
	}))
	mux.HandleFunc("GET /livez", answer(m.live))
	mux.HandleFunc("GET /readyz", answer(m.ready))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "malcolm "+m.cfg.Command+"\n\n/metrics\n/livez\n/readyz\n")
	})
	if m.cfg.PProf {
		profiles(mux)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// answer says 200 or 503, and in the latter case why.
func answer(ask func() (ok bool, why string)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		ok, why := ask()
		if ok {
			why = "ok"
		} else {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, why+"\n")
	}
}

// profiles adds the profiles of package pprof, except the command line. They
// are for this machine: a name in the request's address could be one of a web
// page that leads here (DNS rebinding).
func profiles(mux *http.ServeMux) {
	for path, h := range map[string]http.HandlerFunc{
		"": pprof.Index, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.HandleFunc("GET /debug/pprof/"+path, func(w http.ResponseWriter, r *http.Request) {
			if !isAddress(r.Host) {
				http.Error(w, "profiles are asked for by address", http.StatusForbidden)
				return
			}
			control := http.NewResponseController(w)
			control.SetReadDeadline(time.Now().Add(profileTime))
			control.SetWriteDeadline(time.Now().Add(profileTime))
			h(w, r)
		})
	}
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // it may have a password
}

// isAddress reports whether the host of a request is an IP address or
// localhost.
func isAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

func percent(done, total int64) string {
	return fmt.Sprintf("%.0f %%", 100*float64(done)/float64(total))
}
