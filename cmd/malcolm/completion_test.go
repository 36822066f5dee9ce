package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/human"
)

// completions are command lines, and what a shell must offer for their last
// word: in any order, and nothing else. They run beside a directory copy and a
// file data.bin.
var completions = []struct {
	line string
	want []string
}{
	{"malcolm tr", []string{"trust"}},
	{"malcolm trust f", []string{"forget"}},
	{"malcolm help exi", []string{"exit-codes"}},
	{"malcolm help ser", []string{"serve"}},
	{"malcolm config verif", []string{"verify"}},
	{"malcolm get --conf", []string{"--config"}},
	{"malcolm trust forget --js", []string{"--json"}},
	{"malcolm completion ", []string{"bash", "fish", "zsh"}},
	{"malcolm get --remote", []string{"--remote-time"}},
	{"malcolm get -o co", []string{"copy"}},
	{"malcolm get --output da", nil},
	{"malcolm get --preallocate n", []string{"none"}},
	{"malcolm get -r --color a", []string{"always", "auto"}},
	{"malcolm serve -f da", []string{"data.bin"}},
	{"malcolm serve --remote", nil},
	{"malcolm verify da", []string{"data.bin"}},
	{"malcolm get --limit 1", nil},
}

// completionScript writes a shell's script beside what there is to complete,
// and returns its path. It skips the test if there is no such shell.
func completionScript(t *testing.T, shell string) (dir, path string) {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("%s is not installed", shell)
	}
	code, script, stderr := runHere(t, "completion", shell)
	if code != exitDone || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	dir = t.TempDir()
	path = filepath.Join(t.TempDir(), "completion")
	for name, text := range map[string]string{path: script, filepath.Join(dir, "data.bin"): ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// inShell runs a script and returns the lines of its stdout.
func inShell(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TERM=dumb", "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+filepath.Dir(dir))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", words, err, out)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' })
}

func wantCompletions(t *testing.T, line string, got, want []string) {
	t.Helper()
	for i := range got {
		got[i] = strings.TrimSuffix(strings.TrimSpace(got[i]), "/")
	}
	slices.Sort(got)
	if !slices.Equal(slices.Compact(got), want) {
		t.Errorf("%q: offered %q, want %q", line, got, want)
	}
}

func TestBashCompletion(t *testing.T) {
	dir, path := completionScript(t, "bash")
	for _, c := range completions {
		words := strings.Split(c.line, " ")
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, human.ShellQuote(w))
		}
		script := fmt.Sprintf(`source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _malcolm; printf '%%s\n' "${COMPREPLY[@]}"`,
			human.ShellQuote(path), strings.Join(quoted, " "), len(words)-1)
		wantCompletions(t, c.line, inShell(t, dir, "bash", "--norc", "-c", script), c.want)
	}
	// bash makes the = in --flag=value a word of its own.
	script := fmt.Sprintf(`source %s; COMP_WORDS=(malcolm get --preallocate = a); COMP_CWORD=4; _malcolm; printf '%%s\n' "${COMPREPLY[@]}"`, human.ShellQuote(path))
	wantCompletions(t, "--preallocate=a", inShell(t, dir, "bash", "--norc", "-c", script), []string{"auto"})
}

func TestFishCompletion(t *testing.T) {
	dir, path := completionScript(t, "fish")
	for _, c := range completions {
		script := fmt.Sprintf("source %s; complete -C %s", human.ShellQuote(path), human.ShellQuote(c.line))
		var got []string
		for _, line := range inShell(t, dir, "fish", "--no-config", "-c", script) {
			word, _, _ := strings.Cut(line, "\t")
			got = append(got, word)
		}
		wantCompletions(t, c.line, got, c.want)
	}
}

// TestZshCompletion types in an interactive shell: the command gets the line
// that Tab makes.
func TestZshCompletion(t *testing.T) {
	dir, path := completionScript(t, "zsh")
	for _, c := range completions {
		if len(c.want) > 1 {
			continue // Tab completes nothing then
		}
		want := c.line
		if len(c.want) == 1 {
			words := strings.Split(c.line, " ")
			want = strings.Join(append(words[:len(words)-1], c.want[0]), " ")
		}
		script := fmt.Sprintf(`
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PS2=; setopt no_beep; autoload -Uz compinit; compinit -u -D; source %s; malcolm() { print -r -- \"<malcolm \$*>\" }; print -r -- '<'ready'>'"
zpty -r z out $'*<ready>*'
zpty -w -n z %s$'\t\n'
zpty -r z out $'*<malcolm*>*'
print -r -- "$out"`, path, human.ShellQuote(c.line))
		out := strings.Join(inShell(t, dir, "zsh", "-f", "-c", script), "\n")
		_, got, _ := strings.Cut(out, "<")
		got, _, _ = strings.Cut(got, ">")
		if got = strings.TrimRight(strings.TrimSpace(got), "/="); got != strings.TrimSpace(want) {
			t.Errorf("%q: completed to %q, want %q", c.line, got, want)
		}
	}
}
