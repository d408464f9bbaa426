#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# deploy/: the user data is what cloud-init takes, and what is in it works; Terraform fills in all of it; the playbook's
# syntax. What the playbook does: tests/netns/test_fleet.sh.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
CLOUD_INIT=build/cloud-init/usr/lib/python3/dist-packages
for tool in $CLOUD_INIT ansible-playbook shellcheck jq; do
	[ -e "$tool" ] || command -v "$tool" >/dev/null || { echo "needs $tool: make deps TEST=1 build/cloud-init"; exit 77; }
done
cloud_init() { PYTHONPATH=$CLOUD_INIT /usr/bin/python3 -m cloudinit.cmd.main "$@"; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh

echo "# user data"
declare -A value=([name]=gw [region]=eu-west-1 [vni]=7 [collector]=02:00:00:00:00:01 [migration_units]=nfq2xdp-migrate@br0
	[package_url]=https://example.org/nfq2xdp.deb [package_sha256]=0123)
script=''
for key in "${!value[@]}"; do
	script+="s|\${$key}|${value[$key]}|g;"
done
sed "$script" deploy/cloud-init/user-data.yaml >"$DIR/user-data"
check "placeholders left" "$(grep -c '\${' "$DIR/user-data")" 0
check "cloud-init's schema" "$(cloud_init schema --config-file "$DIR/user-data" 2>&1 | grep -v '^$')" "Valid cloud-config: $DIR/user-data"
/usr/bin/python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' <"$DIR/user-data" >"$DIR/json"
content() { jq -r --arg path "$1" '.write_files[] | select(.path == $path).content' "$DIR/json"; }
content /etc/nfq2xdp/br0.yaml >"$DIR/br0.yaml"
"$BUILD/nfq2xdp" run nfqueue -c "$DIR/br0.yaml" --dry-run >/dev/null
check "its policy" $? 0
for path in $(jq -r '.write_files[].path | select(contains("/sbin/"))' "$DIR/json"); do
	content "$path" >"$DIR/script"
	check "$path" "$(shellcheck -s sh "$DIR/script")" ""
done

echo "# the load balancer's question"
content /usr/local/sbin/gateway-health >"$DIR/health"
ask() { # ask STATUS: of such a gateway
	printf '#!/bin/sh\necho '"'%s'" "$1" >"$DIR/nfq2xdp"
	chmod +x "$DIR/nfq2xdp"
	PATH=$DIR:$PATH sh "$DIR/health" | head -1 | cut -d' ' -f2
}
check "NFQUEUE runs" "$(ask '{"nfqueue":{"running":true},"share":"0","problems":[]}')" 200
check "XDP has all" "$(ask '{"nfqueue":{"running":false},"share":"all","problems":[]}')" 200
check "XDP has all, but" "$(ask '{"nfqueue":{"running":false},"share":"all","problems":["not attached"]}')" 503
check "nothing runs" "$(ask '{"nfqueue":{"running":false},"share":"0","problems":[]}')" 503
check "no status" "$(ask '')" 503

echo "# Terraform"
keys() { grep -oE "$1" "${@:2}" | sed -E "s/$1/\1/" | sort -u; }
check "placeholders and what fills them in" "$(keys '\$\{([a-z_0-9]+)\}' deploy/cloud-init/user-data.yaml)" \
	"$(sed -n '/templatefile/,/})/p' deploy/terraform/main.tf | sed 1d | keys '^ +([a-z_0-9]+) += .*')"
check "variables, used and declared" "$(keys 'var\.([a-z_]+)' -h deploy/terraform/main.tf)" \
	"$(keys '^variable "([a-z_]+)" .*' deploy/terraform/variables.tf)"
check "the switch is on by default" "$(grep -A4 enable_xdp_migration deploy/terraform/variables.tf | grep -c 'default *= true')" 1
if command -v terraform >/dev/null; then
	check "terraform fmt" "$(terraform fmt -check -diff deploy/terraform 2>/dev/null)" ""
fi

echo "# Ansible"
check "syntax" "$(ansible-playbook --syntax-check -i localhost, deploy/ansible/rollout.yml 2>&1 | grep -v '^$\|WARNING\|Could not match')" \
	"playbook: deploy/ansible/rollout.yml"
tally
