package fetch

import "golang.org/x/sys/windows"

// mediaError is the system's error for a bad sector.
const mediaError = windows.ERROR_CRC
