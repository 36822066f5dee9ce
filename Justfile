# `just` without a recipe lists them all.

staticcheck := "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
unclear := '//.*\b(so (many|much|long|often)|as many|in vain|(that|which|what|who|it|there) (is|are|was) none|[Ww]hoever|of whom|as ever|is no use of)\b|//(.*[.:;])? Who [a-z]'
wide := "^(// [^ ].{77}|\t// [^ ].{69}|\t\t// [^ ].{61}|\t\t\t// [^ ].{53}|\t\t\t\t// [^ ].{45})"

_default:
    @just --list

# build bin/malcolm for this machine
build:
    CGO_ENABLED=0 go build -trimpath -o bin/malcolm ./cmd/malcolm

# the main job on this machine: five servers, one liar, one that dies
demo *FLAGS:
    go run ./cmd/malcolm demo {{ FLAGS }}

# draw the session of README.md anew, from real processes; Linux
session:
    go test -count=1 -run '^TestSession$' ./cmd/malcolm -session

# write the flag tables of the manual and the example config anew, from the parser
manual:
    go test -count=1 -run '^TestManual' ./cmd/malcolm -update

# every test, with the race detector (which needs a C compiler), and without it those that measure memory or take minutes with it
test *FLAGS:
    go test -race -timeout 40m {{ FLAGS }} ./...
    go test -run '^TestHostile.*Memory$' ./cmd/malcolm
    go test -run "^($(awk '/^func / { name = $2; sub(/\(.*/, "", name) } /^\twithoutRace\(t\)$/ { print name }' transfer/*_test.go | paste -sd '|'))\$" ./transfer
    just manifests

# Kubernetes manifests against Kubernetes' own types, in a module of their own
manifests:
    go -C cmd/malcolm/deploy/kubernetes test ./...

# format, vet, staticcheck, words of comments, import directions, builds for Linux, macOS and Windows
check:
    test -z "$(gofmt -l . | tee /dev/stderr)"
    go mod tidy -diff
    go mod verify
    go vet ./...
    go run {{ staticcheck }} ./...
    just words
    go test -run '^TestRooms' ./transfer
    just guarded
    just _system linux arm64
    just _system darwin arm64
    just _system windows amd64

# refuse comments over 80 columns, and words that hide who or what is meant: "so many" for an argument, "whoever" for a client
words:
    #!/usr/bin/env bash
    set -euo pipefail
    export LC_ALL=C.UTF-8
    comments() { git ls-files '*.go' | xargs grep -nE "$1" | grep -vE "$2" || true; }
    unclear=$(comments {{ quote(unclear) }} 'so (many|much|long|often) that|times as many|Who .*\?')
    wide=$(comments {{ quote(wide) }} '// [^ ]+$')
    [[ -z $unclear ]] || { printf '%s\n' "$unclear" "name the argument or the actor instead, and say what is" >&2; exit 1; }
    [[ -z $wide ]] || { printf '%s\n' "$wide" "a comment has at most 80 columns, a tab eight of them" >&2; exit 1; }

_system os arch:
    CGO_ENABLED=0 GOOS={{ os }} GOARCH={{ arch }} go build ./...
    CGO_ENABLED=0 GOOS={{ os }} GOARCH={{ arch }} go vet ./...

# run every fuzz target for TIME, such as `just fuzz 30s`
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

# the power fails, in simulation, under SEEDS downloads of a directory
crash-trees SEEDS="10000":
    MALCOLM_TREE_CRASH_SEEDS={{ SEEDS }} go test -count=1 -v -timeout 2h -run '^TestTreeCrashes$' ./transfer/partfile

# malcolm against plain quic-go, encrypted UDP and other programs: about 30 minutes; `just bench --help`, `just bench --quick`
[positional-arguments]
bench *FLAGS:
    go run ./cmd/bench "$@"

# deb, rpm and tar.gz for amd64 and arm64, and an OCI image of both, in DIR
packages DIR="bin/packages":
    .ci/packages {{ quote(DIR) }}

# malcolm with the real parts around it, one script of .ci/operate-* each: root on Debian, and what each says it needs
operate: build
    #!/usr/bin/env bash
    set -uo pipefail
    failed=()
    for script in .ci/operate-*; do
        echo "== $script"
        "$script" "$PWD/bin/malcolm" || failed+=("$script")
    done
    ((${#failed[@]} == 0)) || { echo "failed: ${failed[*]}" >&2; exit 1; }

# the benchmarks of the hot functions
microbench *FLAGS:
    go test -run '^$' -bench . -benchmem {{ FLAGS }} ./...

# plant each fault of .ci/guards whose name matches in a copy of the tree; the tests named there must turn red
guards NAMES=".":
    #!/usr/bin/env bash
    set -euo pipefail
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$copy"
    cd "$copy"
    guards() { grep -v -e '^#' -e '^$' .ci/guards | awk -F '\t' -v names={{ quote(NAMES) }} '$1 ~ names'; }
    wrong=0
    broken() { echo "guard $1: $2" >&2; wrong=1; }
    [[ -n $(guards) ]] || broken {{ quote(NAMES) }} "no name matches"
    # build PACKAGE: its tests as a program, without what only finds faults of style.
    build() { go test -c -vet=off -ldflags='-s -w' -o "$copy/.tests" "$1" > out 2>&1; }
    # tested PACKAGE TESTS: runs some of them.
    tested() { (cd "$1" && "$copy/.tests" -test.timeout 5m -test.run "$2") > out 2>&1; }
    built=
    while IFS=$'\t' read -r package tests; do
        [[ $built == "$package" ]] || build "$package" || { cat out; broken "$package" "does not compile"; }
        built=$package
        tested "$package" "$tests" || { cat out; broken "$package $tests" "is red without a fault"; }
    done < <(guards | cut -f 5,6 | sort -u)
    while IFS=$'\t' read -r name file text replacement package tests; do
        text=$(printf %b "$text") replacement=$(printf %b "$replacement")
        content=$(cat "$file"; echo x) content=${content%x}
        rest=${content#*"$text"}
        [[ $rest != "$content" && ${rest#*"$text"} == "$rest" ]] || { broken "$name" "its text is not in $file exactly once"; continue; }
        cp "$file" original
        printf %s "${content/"$text"/"$replacement"}" > "$file"
        if ! build "$package"; then
            cat out; broken "$name" "does not compile"
        elif tested "$package" "$tests"; then
            broken "$name" "$package $tests stays green without it"
        elif grep -q '^panic: test timed out' out; then
            broken "$name" "$package $tests does not end without it, instead of failing"
        else
            caught=$(grep -om 1 -e '--- FAIL: [^ ]*' -e '^panic: .*' out || head -n 1 out)
            echo "$name: caught by $package ${caught#--- FAIL: }"
        fi
        mv original "$file"
    done < <(guards)
    exit $wrong

# is the text of every guard in its file exactly once
guarded:
    #!/usr/bin/env bash
    set -euo pipefail
    wrong=0
    while IFS=$'\t' read -r name file text _ _ tests; do
        [[ -n $tests ]] || { echo "guard $name: a field is empty" >&2; wrong=1; }
        content=$(cat "$file") text=$(printf %b "$text")
        rest=${content#*"$text"}
        [[ $rest != "$content" && ${rest#*"$text"} == "$rest" ]] || { echo "guard $name: its text is not in $file exactly once" >&2; wrong=1; }
    done < <(grep -v -e '^#' -e '^$' .ci/guards)
    exit $wrong

# the scheduler against its bound in a simulation, in virtual time, such as `just sim 10000` (about forty minutes)
sim SEEDS="1000":
    MALCOLM_SIM_SEEDS={{ SEEDS }} go test -count=1 -v -timeout 2h -run '^(TestTargets|TestTail|TestSmall|TestSmallWithFaults|TestTreeTargets|TestTreeSmall|TestTreeSmallWithFaults|TestTreeOnOtherVersions)$' ./transfer/schedule

# whole transfers in a world in which everything happens that may, in virtual time, such as `just chaos 2000` (about half an hour)
chaos SEEDS="500" FROM="0":
    MALCOLM_CHAOS_SEEDS={{ SEEDS }} MALCOLM_CHAOS_FROM={{ FROM }} go test -count=1 -timeout 4h -run '^TestChaos$' ./transfer

# malcolm over lossy, clean and shared links, in virtual time: seconds, connections and shares as a table; COURSES such as '^1[0-9]:' (minutes)
fair COURSES=".":
    MALCOLM_FAIR=1 go test -count=1 -v -timeout 2h -run '^TestFairTable$/{{ COURSES }}' ./transfer | grep -v '^=== '

# malcolm where a firewall drops UDP, or TCP, or UDP in the middle of a run; root, ip and iptables
firewall: build
    .ci/firewall bin/malcolm

# malcolm over wide-area links, beside aria2 and from mirrors where nginx and aria2 are installed, and beside four CUBIC flows: root, and NETLAB=PROGRAM that makes the links; 3 rounds take 25 minutes
netlab ROUNDS="3" CASES=".": build
    CGO_ENABLED=0 go build -trimpath -o bin/bench ./cmd/bench
    BENCH=bin/bench .ci/netlab bin/malcolm {{ ROUNDS }} {{ quote(CASES) }}

# malcolm with directories, beside rsync and one file of the same size, in memory over loopback: Linux; 11 rounds take half an hour
trees ROUNDS="11" CASES=".": build
    .ci/trees bin/malcolm {{ ROUNDS }} {{ quote(CASES) }}

# one file from S3 gateways, a CDN and a malcolm server; most of them lie, die or expire: versitygw (v1.8.0, its path in VERSITYGW), nginx, openssl, python3, curl
mirrors: build
    .ci/mirrors bin/malcolm

# clients that no one here wrote fetch from serve over HTTP: curl, wget2, aria2, rclone, Chromium; what is missing is left out
web: build
    .ci/web bin/malcolm
