//go:build !linux

package main

import "errors"

const ceilingMissing = "GSO and GRO are measured on Linux only"

var errCeiling = errors.New(ceilingMissing)

// Run always fails.
func (*udpServeCmd) Run() error { return errCeiling }

// Run always fails.
func (*udpGetCmd) Run() error { return errCeiling }
