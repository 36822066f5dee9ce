package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"malcolm/transfer/metalink"
	"malcolm/wire"
)

// pageRows bounds the rows of a page with a directory.
const pageRows = 1000

//go:embed pages.html
var pagesText string

//go:embed pages.css
var pagesStyle string

// pagePolicy lets a page have its own style, and nothing else.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pagesStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(pagesStyle) },
	"bytes": sizeText,
	"shown": shown,
}).Parse(pagesText))

const (
	indexPage     = "index"
	directoryPage = "directory"
	problemPage   = "problem"
)

// page answers by a page. The page is made before its first byte is sent, so
// that a fault of a template leaves no half page.
func (v *visit) page(status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		panic("malcolm: internal error: " + err.Error())
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		v.w.Write(b.Bytes())
	}
}

// problemData is what a page about a problem says.
type problemData struct {
	Title string
	Texts []string
}

func (v *visit) problem(status int, texts ...string) {
	v.page(status, problemPage, problemData{Title: http.StatusText(status), Texts: texts})
}

// indexData is what the page "/" says.
type indexData struct {
	Name     string
	Href     string
	Values   string // address of the file of values
	Metalink string // address of the Metalink
	Tree     bool
	Size     int64
	Files    int
	Checksum string
	SHA256   string
	Commands []command
}

// A command is one to paste.
type command struct{ With, Line string }

// index answers by the page that says what is here.
func (v *visit) index(s Shelf) {
	o, path := s.Offer(), "/"+s.Name()
	d := indexData{Name: s.Name(), Size: o.Size, Checksum: hex.EncodeToString(o.Checksum[:])}
	d.Values, d.Metalink = Escape(path+valuesSuffix)+v.query, Escape(path+metalink.Suffix)+v.query
	if d.Tree = s.Listing() != nil; d.Tree {
		d.Checksum = "tree:" + d.Checksum
		d.Files, d.Size = s.Totals()
		path += "/"
	}
	d.Href = Escape(path) + v.query
	sum, ok := s.SHA256(0)
	if ok && !d.Tree {
		d.SHA256 = hex.EncodeToString(sum[:])
	}
	d.Commands = v.commands(d)
	v.page(http.StatusOK, indexPage, d)
}

// commands says how to get what is offered.
func (v *visit) commands(d indexData) (list []command) {
	var g Guide
	if v.cfg.Guide != nil {
		g = v.cfg.Guide()
	}
	for i, line := range g.Malcolm {
		with := "malcolm"
		if i > 0 {
			with = "malcolm, with nothing left to trust"
		}
		list = append(list, command{with, line})
	}
	trust, aria := "", ""
	if g.Pin != "" && v.r.TLS != nil { // a proxy in front has a key of its own
		trust = "-k --pinnedpubkey 'sha256//" + g.Pin + "' "
		aria = "--check-certificate=false "
	}
	at := origin(v.r)
	if d.Tree {
		return append(list, command{"aria2, which gets the files and no links", "aria2c " + aria + "'" + at + d.Metalink + "'"})
	}
	address, as := "'"+at+d.Href+"'", saveAs(d.Name)
	if d.SHA256 != "" {
		aria += "--checksum=sha-256=" + d.SHA256 + " "
	}
	return append(list,
		command{"curl, which goes on where it stopped", "curl " + trust + "-C - -o " + as + " " + address},
		command{"aria2", "aria2c -x4 " + aria + "-o " + as + " " + address})
}

// saveAs returns the name of a file for a shell.
func saveAs(name string) string {
	if name == "" || strings.HasPrefix(name, "-") || name != shown(name) {
		return "download"
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// origin returns the address at which the client has reached us, or a
// placeholder if the client does not say.
func origin(r *http.Request) string {
	if at, ok := askedAt(r); ok {
		return at
	}
	return scheme(r) + "://HOST:PORT"
}

// askedAt returns the address at which the client says it has reached us.
// Whatever the client says, the result is an address and nothing else, and only
// that client sees it.
func askedAt(r *http.Request) (address string, ok bool) {
	host := r.Host
	for _, c := range host {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]_", c) {
			return "", false
		}
	}
	return scheme(r) + "://" + host, host != "" && len(host) <= 255
}

// scheme returns the scheme with which the client has reached us, or a proxy in
// front of us.
func scheme(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https"
	}
	return "http"
}

// directoryData is what the page of a directory says.
type directoryData struct {
	Name string // from the tree's on, with "/" at its end
	Up   string // address of the directory above; empty: none
	Rows []row
	Next string // address of the next page; empty: this is the last
}

// A row is one entry of a directory.
type row struct {
	Name     string // with "/" at the end of a directory's
	Href     string
	Size     string
	Modified string
	Target   string // of a link
}

// directory answers by the page of a directory.
func (v *visit) directory(s Shelf, at place) {
	d := directoryData{Name: strings.TrimPrefix(at.path, "/")}
	above := at.path[:strings.LastIndexByte(strings.TrimSuffix(at.path, "/"), '/')+1]
	if strings.HasPrefix(above, v.scope) {
		d.Up = Escape(above) + v.query
	}
	for c := range children(s, at.inner, v.r.URL.Query().Get("after")) {
		if len(d.Rows) == pageRows {
			after := "?"
			if v.query != "" {
				after = v.query + "&"
			}
			d.Next = after + "after=" + url.QueryEscape(strings.TrimSuffix(d.Rows[pageRows-1].Name, "/"))
			break
		}
		d.Rows = append(d.Rows, v.row(at.path, c))
	}
	v.page(http.StatusOK, directoryPage, d)
}

func (v *visit) row(dir string, c child) row {
	r := row{Name: c.name, Href: Escape(dir+c.name) + v.query}
	switch {
	case c.isDir:
		r.Name += "/"
		r.Href = Escape(dir+r.Name) + v.query
		return r
	case c.entry.Kind == wire.EntryLink:
		r.Target = c.entry.Target
	default:
		r.Size = sizeText(c.entry.Size)
	}
	if hasDate(c.modified) {
		r.Modified = c.modified.UTC().Format("2006-01-02 15:04")
	}
	return r
}

// shown makes a name, which may come from anybody, fit to be shown: nothing in
// it moves the text beside it.
func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for ; value >= 1023.95 && unit < 5; unit++ {
		value /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[unit])
}
