package flags

import "github.com/alecthomas/kong"

// A Path is the name of a file as it was typed, byte by byte. kong's own
// strings take a way through JSON, which replaces what is not UTF-8, and most
// systems allow any bytes in a name.
type Path string

// aPath is what is missing when a path is.
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
