#!/bin/sh
# The sample pipeline: deploy.sh APP ENVIRONMENT VERSION
#
# Installs a version of the small site in versions/ into site/ENVIRONMENT/releases and lets
# site/ENVIRONMENT/current point to it. Whoever follows `current` sees the old site or the new one,
# never a mixture and never nothing. Lines that begin with "step: " tell the host how far it is.
set -eu

fail() {
    echo "deploy.sh: $1" >&2
    exit "$2"
}

[ $# -eq 3 ] || fail 'usage: deploy.sh APP ENVIRONMENT VERSION' 2
app=$1 environment=$2 version=$3
for word in "$app" "$environment" "$version"; do
    case $word in
        '' | .* | *[!A-Za-z0-9._-]*) fail "\`$word\` is no name" 2 ;;
    esac
done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=$here/versions/$version
target=$here/site/$environment

echo 'step: check'
[ -d "$source" ] || fail "$app has no version $version; there is: $(cd "$here/versions" && echo *)" 3

echo 'step: install'
mkdir -p "$target/releases"
new=$target/releases/.$version.$$
link=$target/.current.$$
trap 'rm -rf "$new" "$link"' EXIT
trap 'exit 143' TERM INT HUP
if [ -d "$target/releases/$version" ]; then
    echo "$app $version is installed already"
else
    cp -R "$source" "$new"
    mv -T "$new" "$target/releases/$version"
fi
# A real site takes its time here.
sleep 1

echo 'step: switch'
ln -s "releases/$version" "$link"
mv -T "$link" "$target/current"

echo 'step: verify'
grep -q "version $version" "$target/current/index.html" || fail "$app does not serve version $version" 4
echo "$app in $environment is at version $version"
