package fetch

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"reflect"
	"slices"
	"testing"
)

// states are the types that belong to the loop. What runs beside it must reach
// none of them, so that it can call none of their methods.
var states = []reflect.Type{
	reflect.TypeFor[Session](), reflect.TypeFor[roster](), reflect.TypeFor[server](), reflect.TypeFor[conns](),
	reflect.TypeFor[connection](), reflect.TypeFor[poll](), reflect.TypeFor[download](), reflect.TypeFor[asking](),
	reflect.TypeFor[fetch](), reflect.TypeFor[valuesRequest](), reflect.TypeFor[ahead](),
}

// beside are the types whose methods run beside the loop, and what they share.
var beside = []reflect.Type{
	reflect.TypeFor[means](), reflect.TypeFor[job](), reflect.TypeFor[rangeRun](), reflect.TypeFor[partial](),
	reflect.TypeFor[contact](), reflect.TypeFor[checker](), reflect.TypeFor[streaming](),
	reflect.TypeFor[valuesProgress](), reflect.TypeFor[partStore](), reflect.TypeFor[streamWindow](), reflect.TypeFor[slotClaim](),
	reflect.TypeFor[aheadStore](), reflect.TypeFor[aheadClaim](), reflect.TypeFor[partedBody](), reflect.TypeFor[part](),
}

// reaches returns the way from a type to a state; "" without such a way.
// Functions, channels and interfaces are opaque.
func reaches(t reflect.Type, met map[reflect.Type]bool) string {
	if slices.Contains(states, t) {
		return t.Name()
	}
	if met[t] {
		return ""
	}
	met[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return reaches(t.Elem(), met)
	case reflect.Map:
		return reaches(t.Key(), met) + reaches(t.Elem(), met)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if way := reaches(f.Type, met); way != "" {
				return f.Name + "." + way
			}
		}
	}
	return ""
}

func TestJobsHoldNoState(t *testing.T) {
	for _, b := range beside {
		if way := reaches(b, make(map[reflect.Type]bool)); way != "" {
			t.Errorf("%s runs beside the loop and reaches its state: %s", b.Name(), way)
		}
	}
	planted := reflect.TypeFor[struct {
		list map[int][]*struct{ session *Session }
	}]()
	if reaches(planted, make(map[reflect.Type]bool)) == "" {
		t.Error("a planted session is not found")
	}
}

// Functions that run beside the loop hold no state either: those that are given
// to beside and its kin, and those that post. What they post runs in the loop.
func TestClosuresHoldNoState(t *testing.T) {
	c := newClosures(t)
	found := 0
	for _, f := range c.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if runsBeside(n) {
					found++
					for _, arg := range n.Args {
						c.check(t, arg)
					}
				}
			case *ast.GoStmt:
				found++
				c.check(t, n.Call.Fun)
			case *ast.FuncLit:
				if posts(n) {
					found++
					c.check(t, n)
				}
			}
			return true
		})
	}
	if found < 20 {
		t.Errorf("only %d functions run beside the loop, want those of all files", found)
	}
}

// closures are the files of this package, and what is known of the types in
// them. Of other packages nothing is.
type closures struct {
	fset  *token.FileSet
	files []*ast.File
	info  types.Info
}

type noPackages struct{}

func (noPackages) Import(name string) (*types.Package, error) {
	p := types.NewPackage(name, path.Base(name))
	p.MarkComplete()
	return p, nil
}

func newClosures(t *testing.T) *closures {
	c := &closures{fset: token.NewFileSet()}
	c.info = types.Info{Uses: make(map[*ast.Ident]types.Object), Selections: make(map[*ast.SelectorExpr]*types.Selection)}
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(c.fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.files = append(c.files, f)
	}
	conf := types.Config{Importer: noPackages{}, Error: func(error) {}}
	_, _ = conf.Check(p.Name, c.fset, c.files, &c.info)
	return c
}

// callee returns the last part of the name of what is called.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func runsBeside(call *ast.CallExpr) bool {
	switch callee(call) {
	case "beside", "do", "obtain", "hashing", "AfterFunc":
		return true
	case "run":
		return len(call.Args) > 0 // joiner.run
	}
	return false
}

// posts reports whether a function posts: then it runs beside the loop.
func posts(f *ast.FuncLit) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if _, nested := n.(*ast.FuncLit); nested {
			return false
		}
		if call, ok := n.(*ast.CallExpr); ok && callee(call) == "post" {
			found = true
		}
		return true
	})
	return found
}

// check finds the variables from outside of a function, or of a method value,
// that reach a state.
func (c *closures) check(t *testing.T, fun ast.Expr) {
	switch f := fun.(type) { // else a variable: an opaque function, or no function at all
	case *ast.FuncLit:
		c.walk(t, f.Body, f)
	case *ast.SelectorExpr:
		if s := c.info.Selections[f]; s != nil && s.Kind() == types.MethodVal {
			c.walk(t, f.X, nil)
		}
	}
}

func (c *closures) walk(t *testing.T, root ast.Node, lit *ast.FuncLit) {
	ast.Inspect(root, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && callee(call) == "post" {
			c.walk(t, call.Fun, lit)
			return false
		}
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		v, ok := c.info.Uses[id].(*types.Var)
		if !ok || v.IsField() || lit != nil && v.Pos() >= lit.Pos() && v.Pos() < lit.End() {
			return true
		}
		if state := stateIn(v.Type(), make(map[types.Type]bool)); state != "" {
			t.Errorf("%v: %s runs beside the loop and reaches a %s", c.fset.Position(id.Pos()), id.Name, state)
		}
		return true
	})
}

// stateIn is reaches for go/types.
func stateIn(t types.Type, met map[types.Type]bool) string {
	if met[t] {
		return ""
	}
	met[t] = true
	switch t := t.(type) {
	case *types.Named:
		name := t.Obj().Name()
		if slices.ContainsFunc(states, func(s reflect.Type) bool { return s.Name() == name }) {
			return name
		}
		return stateIn(t.Underlying(), met)
	case *types.Chan: // opaque
	case interface{ Elem() types.Type }: // pointers, slices, arrays and maps
		return stateIn(t.Elem(), met)
	case *types.Struct:
		for f := range t.Fields() {
			if state := stateIn(f.Type(), met); state != "" {
				return fmt.Sprintf("%s.%s", f.Name(), state)
			}
		}
	}
	return ""
}
