package fetch

import "golang.org/x/sys/windows"

// mediaError is what the system says of a bad sector.
const mediaError = windows.ERROR_CRC
