package flags

import "github.com/alecthomas/kong"

// A Path is the name of a file as it was typed, byte by byte. kong passes its
// own strings through JSON, which replaces what is not UTF-8, and most systems
// allow any bytes in a name.
type Path string

// aPath names a missing path in errors.
const aPath = "a path"

// Decode implements [kong.MapperValue].
func (p *Path) Decode(ctx *kong.DecodeContext) error {
	text, err := popValue(ctx, aPath)
	if err != nil {
		return err
	}
	*p = Path(text)
	return nil
}
