// Package schema checks the events of --json against schema.json, in tests.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Node is a JSON Schema (2020-12) of the keywords that schema.json uses.
// A keyword that is not among them is an error when it is read.
type Node struct {
	Words
	Defs    map[string]*Node `json:"$defs"`
	Ref     string           `json:"$ref"`
	OneOf   []*Node          `json:"oneOf"`
	Type    string           `json:"type"`
	Const   any              `json:"const"`
	Enum    []any            `json:"enum"`
	Minimum *float64         `json:"minimum"`
	Items   *Node            `json:"items"`
	Text
	Object
}

// Words are for who reads the schema.
type Words struct {
	Schema      string `json:"$schema"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// Text is what a node says of a string.
type Text struct {
	Pattern   string `json:"pattern"`
	MaxLength *int   `json:"maxLength"`
}

// Object is what a node says of an object.
type Object struct {
	Properties map[string]*Node `json:"properties"`
	Required   []string         `json:"required"`
	Additional *bool            `json:"additionalProperties"`
}

// Read returns the schema in a file.
func Read(path string) (*Node, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	root := new(Node)
	return root, d.Decode(root)
}

// Check validates a line of --json and returns its event.
func (root *Node) Check(line string) (map[string]any, error) {
	var value map[string]any
	if err := json.Unmarshal([]byte(line), &value); err != nil {
		return nil, err
	}
	if !utf8.ValidString(line) {
		return nil, errors.New("no valid UTF-8")
	}
	return value, root.value(root, value, "")
}

// value validates a value at a path against n.
func (root *Node) value(n *Node, value any, path string) error {
	if n.Ref != "" {
		target := root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]
		if target == nil {
			return fmt.Errorf("%s: the schema lacks %s", path, n.Ref)
		}
		return root.value(target, value, path)
	}
	if len(n.OneOf) > 0 {
		return root.oneOf(n, value, path)
	}
	if n.Const != nil && !reflect.DeepEqual(n.Const, value) {
		return fmt.Errorf("%s: %v, want %v", path, value, n.Const)
	}
	if n.Enum != nil && !slices.ContainsFunc(n.Enum, func(e any) bool { return reflect.DeepEqual(e, value) }) {
		return fmt.Errorf("%s: %v is not among %v", path, value, n.Enum)
	}
	return root.typed(n, value, path)
}

func (root *Node) oneOf(n *Node, value any, path string) error {
	var failures []error
	for _, option := range n.OneOf {
		if err := root.value(option, value, path); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", option.Ref, err))
		}
	}
	if len(n.OneOf)-len(failures) == 1 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d match: %w", path, len(n.OneOf)-len(failures), len(n.OneOf), errors.Join(failures...))
}

func (root *Node) typed(n *Node, value any, path string) error {
	wrong := fmt.Errorf("%s: %#v is no %s", path, value, n.Type)
	switch n.Type {
	case "":
		return nil
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong
		}
	case "integer", "number":
		number, ok := value.(float64)
		if !ok || n.Type == "integer" && number != math.Trunc(number) {
			return wrong
		}
		if n.Minimum != nil && number < *n.Minimum {
			return fmt.Errorf("%s: %v is below %v", path, number, *n.Minimum)
		}
	case "string":
		text, ok := value.(string)
		if !ok {
			return wrong
		}
		if n.MaxLength != nil && utf8.RuneCountInString(text) > *n.MaxLength || n.Pattern != "" && !regexp.MustCompile(n.Pattern).MatchString(text) {
			return fmt.Errorf("%s: %q is too long or does not match %s", path, text, n.Pattern)
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrong
		}
		for i, item := range list {
			if err := root.value(n.Items, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "object":
		return root.object(n, value, path)
	default:
		return fmt.Errorf("%s: the schema has the type %q", path, n.Type)
	}
	return nil
}

func (root *Node) object(n *Node, value any, path string) error {
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %#v is no object", path, value)
	}
	for _, name := range n.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s: %s is missing", path, name)
		}
	}
	for name, item := range object {
		property := n.Properties[name]
		if property == nil {
			if n.Additional == nil || *n.Additional {
				continue
			}
			return fmt.Errorf("%s: %s is not in the schema", path, name)
		}
		if err := root.value(property, item, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}
