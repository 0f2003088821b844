# shellcheck shell=bash
# What scripts that make a Debian in a directory have in common. Sourced.

# Ends a test that this machine cannot run.
skip() {
    echo "SKIPPED: $1"
    exit 0
}

# wanted LOG PROGRAM=PACKAGE...: installs the packages of the programs that are not here; says what is missing where that cannot be.
wanted() {
    local log=$1 pair missing=""
    shift
    for pair; do
        command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || {
        echo "please install, by the means of this system:$missing"
        return 1
    }
    echo "installing$missing" >&2
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } \
        </dev/null >"$log" 2>&1 || {
        echo "apt-get could not install$missing: $(tail -n 1 "$log")"
        return 1
    }
}

# debian_in DIRECTORY SUITE [OPTION...]: made once by mmdebstrap with these options, from the mirror that this machine takes Debian
# from, whatever release it has; says what is wrong where that cannot be. What mmdebstrap said is in DIRECTORY.log. Suites of Ubuntu
# come from EDGE_UBUNTU_MIRROR where that is set; without Ubuntu's keyring here they are not verified then.
debian_in() {
    local directory=$1 suite=$2 components=main mirror=""
    shift 2
    [ ! -d "$directory" ] || return 0
    case $suite in
        jammy | noble)
            components=main,universe mirror=${EDGE_UBUNTU_MIRROR:-}
            [ -z "$mirror" ] || [ -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ] ||
                mirror="deb [trusted=yes] $mirror $suite main universe"
            ;;
        *)
            # shellcheck disable=SC2016 # apt fills these in
            mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
                awk '$1 == "Debian" && $2 == "main" && $3 !~ /security/ { print $3; exit }') || true
            ;;
    esac
    rm -rf "$directory.new"
    if ! mmdebstrap "$@" --components=$components --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$directory.new" \
        ${mirror:+"$mirror"} </dev/null >"$directory.log" 2>&1; then
        rm -rf "$directory.new"
        echo "no $suite: $(grep '^E:' "$directory.log" | tail -n 1)"
        return 1
    fi
    mv "$directory.new" "$directory"
}
