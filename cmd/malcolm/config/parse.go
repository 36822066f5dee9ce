package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// parse reads a file's text. The error is an [Error].
func parse(path, text string) (*File, error) {
	d := decoder{path: path, file: &File{Path: path}}
	top := make(map[string]toml.Primitive)
	var err error
	if d.meta, err = toml.Decode(text, &top); err != nil {
		if e, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, &Error{Path: path, Line: e.Position.Line, Err: errors.New(oneLine(e.Message))}
		}
		return nil, &Error{Path: path, Err: errors.New(oneLine(err.Error()))}
	}
	if err := d.table("", 0, top); err != nil {
		return nil, err
	}
	slices.SortFunc(d.file.Tables, func(a, b Table) int { return cmp.Compare(a.Line, b.Line) })
	return d.file, nil
}

// maxMessage bounds the parser's words, which may repeat the file's, in bytes.
const maxMessage = 200

// oneLine makes the parser's words fit for a line.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

// A decoder turns what the parser found into tables.
type decoder struct {
	path string
	meta toml.MetaData
	file *File
}

// maxDepth bounds the names of a table: no command has more words.
const maxDepth = 4

// table adds a table, and those within it.
func (d *decoder) table(name string, line int, keys map[string]toml.Primitive) error {
	if strings.Count(name, ".") >= maxDepth {
		return &Error{Path: d.path, Line: line, Err: errors.New("no command has a name of that many words")}
	}
	t := Table{Name: name, Line: line}
	within := false
	for key, value := range keys {
		found, line := d.locate(value)
		if _, ok := found.(map[string]any); ok {
			within = true
			inner := make(map[string]toml.Primitive)
			if err := d.meta.PrimitiveDecode(value, &inner); err != nil {
				return &Error{Path: d.path, Line: line, Err: err}
			}
			if err := d.table(strings.TrimPrefix(name+"."+key, "."), line, inner); err != nil {
				return err
			}
			continue
		}
		s := Setting{Key: key, Path: d.path, Line: line}
		if err := s.take(found); err != nil {
			return &Error{Path: d.path, Line: line, Err: fmt.Errorf("%s: %w", key, err)}
		}
		t.Settings = append(t.Settings, s)
	}
	slices.SortFunc(t.Settings, func(a, b Setting) int { return cmp.Compare(a.Line, b.Line) })
	if len(t.Settings) > 0 || !within {
		d.file.Tables = append(d.file.Tables, t)
	}
	return nil
}

// locate returns a value and its line. The parser names the line only in
// errors, so the value is decoded into something that refuses it.
func (d *decoder) locate(value toml.Primitive) (any, int) {
	var r refuser
	err := d.meta.PrimitiveDecode(value, &r)
	e, _ := errors.AsType[toml.ParseError](err)
	return r.value, e.Position.Line
}

// A refuser keeps the value that it refuses.
type refuser struct{ value any }

var errRefused = errors.New("refused")

// UnmarshalTOML implements [toml.Unmarshaler].
func (r *refuser) UnmarshalTOML(value any) error {
	r.value = value
	return errRefused
}

// take sets the texts of a value.
func (s *Setting) take(value any) error {
	if list, ok := value.([]any); ok {
		s.List, s.Texts = true, make([]string, 0, len(list))
		for _, v := range list {
			text, err := textOf(v)
			if err != nil {
				return err
			}
			s.Texts = append(s.Texts, text)
		}
		return nil
	}
	text, err := textOf(value)
	_, s.Bool = value.(bool)
	s.Texts = []string{text}
	return err
}

// textOf returns a value as it would be typed.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", errors.New("a value is a text, a number, true or false, or a list of these")
}
