package main

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"
)

// testReport has two links, four rows, and all kinds of figures.
func testReport() *report {
	of := func(name, title string, times ...float64) rowReport {
		var samples []sample
		for i, s := range times {
			samples = append(samples, sample{Round: i, Seconds: s, CPU: 2 * s, ClientRSS: 30 << 20, ServerRSS: 40 << 20, Lost: int64(i)})
		}
		return newRowReport(row{name: name, title: title}, samples, 2e9)
	}
	r := &report{
		Date: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Size: 2e9, Rounds: 3,
		Machine: machine{System: "linux/amd64", CPUs: 2, Go: "go1.26"},
		Links: []linkReport{
			{Name: "loopback", Rows: []rowReport{of("malcolm-4", "malcolm, 4 servers", 4, 5, 8), of("malcolm-4-nogro", "without GRO", 8, 8, 8), of("malcolm-4-nojoin", "not joined", 4, 5.5, 10)}},
			{Name: "veth", Rows: []rowReport{of("malcolm-4", "malcolm, 4 servers", 5, 5, 5), of("aria2", "aria2 <4> & TLS", 4, 4, 6)}},
		},
		Figures: []figure{
			{"sparse", "the second against the first", "×", spread{1.02, 1.01, 1.2}},
			{"memory", "serve VmHWM", "MiB", spread{200, 200, 200}},
			{"small", "a file of 1 MiB", "ms", spread{17.23, 15, 20}},
		},
		Skipped: []skip{{"veth/scp", "sshd is not installed"}},
	}
	r.judge()
	return r
}

func TestMarkdown(t *testing.T) {
	const want = `2026-11-23, linux/amd64, 2 CPUs, go1.26: 2 GB from memory to memory, 3 rounds

| over the loopback interface | s | MB/s | CPU s/GB | client MiB | server MiB | packets lost | malcolm-4 is … times as quick |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| malcolm, 4 servers | 5.00 (4.00 to 8.00) | 400 | 5.00 | 30 | 40 | 1 |  |
| without GRO | 8.00 (8.00 to 8.00) | 250 | 8.00 | 30 | 40 | 1 | 1.60 (1.00 to 2.00) |
| not joined | 5.50 (4.00 to 10.00) | 364 | 5.50 | 30 | 40 | 1 | 1.10 (1.00 to 1.25) |

| over a veth pair of MTU 1500 | s | MB/s | CPU s/GB | client MiB | server MiB | packets lost | malcolm-4 is … times as quick |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| malcolm, 4 servers | 5.00 (5.00 to 5.00) | 400 | 5.00 | 30 | 40 | 1 |  |
| aria2 <4> & TLS | 4.00 (4.00 to 6.00) | 500 | 4.00 | 30 | 40 | 1 | 0.80 (0.80 to 1.20) |

| figure | median | least to greatest |
| --- | ---: | ---: |
| the second against the first | 1.02 × | 1.01 to 1.20 |
| serve VmHWM | 200 MiB | 200 to 200 |
| a file of 1 MiB | 17.2 ms | 15.0 to 20.0 |

| target | over | wanted | measured | reached |
| --- | --- | ---: | ---: | --- |
| malcolm, 4 servers: GRO on against off | loopback | ≥ 1.4 × | 1.60 (95 %: 1.00 to 2.00) | yes |
| malcolm, 4 servers: CPU time, joined sends on against off | loopback | ≤ 0.95 × | 0.909 (95 %: 0.800 to 1.000) | yes |
| get VmHWM, malcolm, 4 servers, 2 GB | loopback | ≤ 64 MiB | 30 MiB | yes |
| malcolm, 4 servers, against aria2, unverified (aim: 1.0) | veth | ≥ 0.9 × | 0.80 (95 %: 0.80 to 1.20) | yes |
| get VmHWM, malcolm, 4 servers, 2 GB | veth | ≤ 64 MiB | 30 MiB | yes |
| serve VmHWM | loopback | ≤ 192 MiB | 200 MiB | no |
| CPU for a GB, 8 GB against 1 GB | loopback | ≤ 1.05 × | 1.02 (1.01 to 1.20) | yes |
| a file of 1 MiB | loopback | report | 17.2 ms |  |

Not measured:

- veth/scp: sshd is not installed
`
	if got := testReport().markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestUnknownIsADash: an unknown number is never shown as a number.
func TestUnknownIsADash(t *testing.T) {
	r := testReport()
	r.Links = r.Links[:1]
	r.Links[0].Rows = []rowReport{newRowReport(row{title: "x"}, []sample{{Seconds: 1, CPU: 1, ClientRSS: unknown, ServerRSS: unknown, Lost: unknown}}, 2e9)}
	if got, want := r.linkTable(&r.Links[0]), "| 0.50 | – | – | – |  |\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want an end of %s", got, want)
	}
}

// TestGetTargetNamesItsSize: a run of another size is not compared with a
// target for one size.
func TestGetTargetNamesItsSize(t *testing.T) {
	r := testReport()
	r.Size, r.Targets = 256e6, nil
	r.judge()
	if got := r.markdown(); !strings.Contains(got, "| get VmHWM, malcolm, 4 servers, 256 MB (meant for 2 GB) |") {
		t.Errorf("got\n%s", got)
	}
}

func TestJSON(t *testing.T) {
	text, err := json.Marshal(testReport())
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got, want := got.markdown(), testReport().markdown(); got != want {
		t.Errorf("what was read back is\n%s\nwant\n%s", got, want)
	}
}

// TestSVG: the chart is XML, has a bar for each row and link, in proportion,
// and every text in it is escaped.
func TestSVG(t *testing.T) {
	chart := testReport().svg()
	decoder := xml.NewDecoder(strings.NewReader(chart))
	var texts strings.Builder
	widths := make(map[string][]string)
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, chart)
		}
		switch e := token.(type) {
		case xml.CharData:
			texts.Write(e)
			texts.WriteByte('\n')
		case xml.StartElement:
			attrs := make(map[string]string)
			for _, a := range e.Attr {
				attrs[a.Name.Local] = a.Value
			}
			if e.Name.Local == "rect" && attrs["height"] != "10" { // 10: the legend's
				widths[attrs["class"]] = append(widths[attrs["class"]], attrs["width"])
			}
		}
	}
	for _, want := range []string{"aria2 <4> & TLS", "malcolm, 4 servers", "the loopback interface", "Copying 2 GB", "prefers-color-scheme: dark"} {
		if !strings.Contains(texts.String(), want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
	// 500 MB/s fill the 400 pixels that are there.
	for link, want := range map[string]string{"loopback": "320.0 200.0 290.9", "veth": "320.0 400.0"} {
		if got := strings.Join(widths[link], " "); got != want {
			t.Errorf("bars over %s are %s wide, want %s", link, got, want)
		}
	}
}

func TestSVGWithoutRows(t *testing.T) {
	if chart := (&report{Size: 2e9}).svg(); !strings.HasSuffix(chart, "</svg>\n") || strings.Contains(chart, "NaN") {
		t.Errorf("got %s", chart)
	}
}

func TestNiceStep(t *testing.T) {
	for most, want := range map[float64]float64{1: 0.2, 600: 100, 701: 200, 1146: 200, 1500: 500, 99: 20} {
		if got := niceStep(most); got < want*0.999 || got > want*1.001 {
			t.Errorf("up to %v: got a step of %v, want %v", most, got, want)
		}
	}
}
