# `just` without a recipe lists them all.

staticcheck := "honnef.co/go/tools/cmd/staticcheck@v0.8.2"

_default:
    @just --list

# build bin/malcolm for this machine
build:
    CGO_ENABLED=0 go build -trimpath -o bin/malcolm ./cmd/malcolm

# the main job on this machine: five servers, one liar, one that dies
demo *FLAGS:
    go run ./cmd/malcolm demo {{ FLAGS }}

# every test, with the race detector (which needs a C compiler)
test *FLAGS:
    go test -race {{ FLAGS }} ./...

# format, vet, staticcheck, import directions, builds for Linux, macOS and Windows
check:
    test -z "$(gofmt -l . | tee /dev/stderr)"
    go mod tidy -diff
    go mod verify
    go vet ./...
    go run {{ staticcheck }} ./...
    go test -run '^TestRooms$' ./transfer
    just _system linux arm64
    just _system darwin arm64
    just _system windows amd64

_system os arch:
    CGO_ENABLED=0 GOOS={{ os }} GOARCH={{ arch }} go build ./...
    CGO_ENABLED=0 GOOS={{ os }} GOARCH={{ arch }} go vet ./...

# run every fuzz target for so long, such as `just fuzz 30s`
fuzz TIME="10s":
    #!/usr/bin/env bash
    set -euo pipefail
    for package in $(go list ./...); do
        for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
            echo "== $package $target"
            go test -run '^$' -fuzz "^$target\$" -fuzztime {{ TIME }} "$package"
        done
    done

# real processes killed at random moments, disks that are full, an ext4 shut down under a transfer: minutes
crash *FLAGS:
    go test -tags crash -run '^TestCrash' -v -parallel 8 -timeout 60m ./cmd/malcolm {{ FLAGS }}

# the benchmarks of the hot functions
bench *FLAGS:
    go test -run '^$' -bench . -benchmem {{ FLAGS }} ./...
