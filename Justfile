# `just` without a recipe lists them all.

staticcheck := "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
unclear := '//.*\b((so (many|much|long|often)|as many|in vain)|(that|which|what|who|it|there) (is|are|was) none)\b'
wide := "^(// [^ ].{77}|\t// [^ ].{69}|\t\t// [^ ].{61}|\t\t\t// [^ ].{53}|\t\t\t\t// [^ ].{45})"

_default:
    @just --list

# build bin/malcolm for this machine
build:
    CGO_ENABLED=0 go build -trimpath -o bin/malcolm ./cmd/malcolm

# the main job on this machine: five servers, one liar, one that dies
demo *FLAGS:
    go run ./cmd/malcolm demo {{ FLAGS }}

# take the terminal session in README.md anew, from real processes; Linux
session:
    go test -count=1 -run '^TestSession$' ./cmd/malcolm -session "$PWD/README.md"

# write the flag tables of the manual anew, from the parser
manual:
    go test -count=1 -run '^TestManualFlags$' ./cmd/malcolm -update

# every test, with the race detector (which needs a C compiler), and without it those that measure memory or take minutes with it
test *FLAGS:
    go test -race -timeout 40m {{ FLAGS }} ./...
    go test -run '^TestHostile.*Memory$' ./cmd/malcolm
    go test -run '^(TestOfficeOf.*|TestQuickBesideSlow|TestHugeFile|TestHostileCost)$' ./transfer

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

# refuse comments over 80 columns, and "so many" and its like where an argument has a name
words:
    #!/usr/bin/env bash
    set -euo pipefail
    export LC_ALL=C.UTF-8
    comments() { git ls-files '*.go' | xargs grep -nE "$1" | grep -vE "$2" || true; }
    unclear=$(comments {{ quote(unclear) }} 'so (many|much|long|often) that|times as many')
    wide=$(comments {{ quote(wide) }} '// [^ ]+$')
    [[ -z $unclear ]] || { printf '%s\n' "$unclear" "name the argument instead, and say what is" >&2; exit 1; }
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
bench *FLAGS:
    go run ./cmd/bench {{ FLAGS }}

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
    while IFS=$'\t' read -r package tests; do
        go test -count 1 -run "$tests" "$package" > out 2>&1 || { cat out; broken "$package $tests" "is red without a fault"; }
    done < <(guards | cut -f 5,6 | sort -u)
    while IFS=$'\t' read -r name file text replacement package tests; do
        text=$(printf %b "$text") replacement=$(printf %b "$replacement")
        content=$(cat "$file"; echo x) content=${content%x}
        rest=${content#*"$text"}
        [[ $rest != "$content" && ${rest#*"$text"} == "$rest" ]] || { broken "$name" "its text is not in $file exactly once"; continue; }
        cp "$file" original
        printf %s "${content/"$text"/"$replacement"}" > "$file"
        if ! go test -run '^$' "$package" > out 2>&1; then
            cat out; broken "$name" "does not compile"
        elif go test -count 1 -timeout 5m -run "$tests" "$package" > out 2>&1; then
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

# malcolm over wide-area links, beside aria2 where it is installed, and beside four CUBIC flows: root, and NETLAB=PROGRAM that makes the links; 3 rounds take 20 minutes
netlab ROUNDS="3" CASES=".": build
    CGO_ENABLED=0 go build -trimpath -o bin/bench ./cmd/bench
    BENCH=bin/bench .ci/netlab bin/malcolm {{ ROUNDS }} {{ quote(CASES) }}

# malcolm with directories, beside rsync and one file of the same size, in memory over loopback: Linux, some minutes
trees ROUNDS="5" CASES=".": build
    .ci/trees bin/malcolm {{ ROUNDS }} {{ quote(CASES) }}
