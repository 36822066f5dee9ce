package main

import (
	"os"
	"strings"
)

// tabbed FILE LINE... makes a file of lines, in which \t is a tab.
func (s *script) tabbed(args []string) {
	s.want(args, 2, "tabbed FILE LINE...")
	text := strings.ReplaceAll(strings.Join(args[1:], "\n")+"\n", `\t`, "\t")
	s.Check(os.WriteFile(s.MkAbs(args[0]), []byte(text), 0o666))
}
