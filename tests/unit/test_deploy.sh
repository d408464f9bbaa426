#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# deploy/: the Terraform module as far as it can be worked out without a cloud (terraform.go); the user data that it makes
# is what cloud-init takes, and what is in it works; the playbook's syntax. What the playbook does:
# tests/netns/test_fleet.sh.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
CLOUD_INIT=build/cloud-init/usr/lib/python3/dist-packages
GO=/usr/share/gocode
for tool in $CLOUD_INIT $GO/src/github.com/hashicorp/hcl/v2 go gofmt ansible-playbook shellcheck jq; do
	[ -e "$tool" ] || command -v "$tool" >/dev/null || { echo "needs $tool: make deps TEST=1 build/cloud-init"; exit 77; }
done
cloud_init() { PYTHONPATH=$CLOUD_INIT /usr/bin/python3 -m cloudinit.cmd.main "$@"; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh

echo "# Terraform"
# Compiled once for all runs of a tree.
env -u GOFLAGS GO111MODULE=off GOPATH=$GO GOCACHE="$BUILD/go" CGO_ENABLED=0 go build -o "$DIR/terraform" tests/unit/terraform.go || exit 1
check "gofmt" "$(gofmt -l tests/unit/terraform.go)" ""
# module DIR [NAME=VALUE…]
module() {
	"$DIR/terraform" "$@" 'ami="ami-1"' 'subnets=["subnet-1"]' 'security_groups=["sg-1"]' 'target_group="arn:tg"' \
		'collector="02:00:00:00:00:01"' vni=7 'package={ url = "https://example.org/nfq2xdp.deb", sha256 = "0123" }' 2>&1
}
module deploy/terraform >"$DIR/on"
check "worked out" "$?: $(grep -v '^{' "$DIR/on")" "0: "
module deploy/terraform enable_xdp_migration=false >"$DIR/off"
check "worked out, switched off" "$?: $(grep -v '^{' "$DIR/off")" "0: "
of() { jq -c "$2" "$DIR/$1"; }
REFRESH='.aws_autoscaling_group.instance_refresh.preferences'
check "health is the gate" "$(of on '[.aws_autoscaling_group.health_check_type, .aws_autoscaling_group.target_group_arns]')" '["ELB",["arn:tg"]]'
check "none less while one is refreshed, and back when the alarm says so" "$(of on "$REFRESH | [.min_healthy_percentage, .auto_rollback, has(\"alarm_specification\")]")" \
	'[100,true,true]'
check "the alarm looks at what the user data reports" "$(of on '.aws_cloudwatch_metric_alarm | [.namespace, .metric_name, .dimensions.Group]')" \
	"$(sed -nE 's/.*--namespace (\S+) --metric-name (\S+) --dimensions Group=.*/["\1","\2","mirror-gateway"]/p' deploy/cloud-init/user-data.yaml)"
check "nothing is there after a gateway" "$(of on '.aws_launch_template.network_interfaces.content | has("delete_on_termination")')" true
for which in on off; do
	jq -r .aws_launch_template.user_data "$DIR/$which" | base64 -d >"$DIR/user-data.$which"
done
# Nothing else is different: the units of the rollout, and how long a gateway takes.
check "the switch: on, off" "$(diff "$DIR/user-data.on" "$DIR/user-data.off" | grep '^[<>]' | sed 's/  */ /g')" \
	"< - 'systemctl enable --now nfq2xdp-migrate@br0 gateway-confirm gateway-health.socket'
> - 'systemctl enable --now gateway-health.socket'"
check "the switch: warm-up" "$(of on "$REFRESH.instance_warmup") $(of off "$REFRESH.instance_warmup")" "1200 300"
cp "$DIR/user-data.on" "$DIR/user-data"
# What it must find: each of these in place of something that is right.
cp -r deploy "$DIR/deploy"
wrong() {
	sed "$2" deploy/terraform/main.tf >"$DIR/deploy/terraform/main.tf"
	check "finds: $1" "$(module "$DIR/deploy/terraform" | grep -cE -m 1 "$1")" 1
}
wrong "var.sise is not declared" 's/var\.size\.min/var.sise.min/'
wrong "aws_iam_role.gateway1 is not declared" 's/role *= aws_iam_role.gateway.name/role = aws_iam_role.gateway1.name/'
wrong "var.ami is not used" 's/var\.ami/"ami-0"/'
wrong "user-data.yaml: more is given, and not used" 's/^    vni  .*/&\n    more = 1/'
wrong 'user-data.yaml:.*There is no variable named "region"' '/^    region  /d'
wrong "main.tf:14" 's/^data "aws_region" "here" {}/data "aws_region" {{/'

echo "# user data"
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

echo "# a packet's way out"
content /usr/local/sbin/gateway-forward | sed 's,/sys/class/net/ens6,'"$DIR"',' >"$DIR/forward"
echo 02:00:00:00:00:06 >"$DIR/address"
cat >"$DIR/curl" <<-'END'
	#!/bin/sh
	case "$*" in
	*PUT*ttl-seconds*latest/api/token) echo TOKEN ;;
	*"aws-ec2-metadata-token: TOKEN"*/macs/02:00:00:00:00:06/interface-id) echo eni-6 ;;
	*) exit 22 ;;
	esac
END
printf '#!/bin/sh\necho "$@"\n' >"$DIR/aws"
chmod +x "$DIR/curl" "$DIR/aws"
check "of this interface" "$(PATH=$DIR:$PATH sh "$DIR/forward")" \
	"--region eu-west-1 ec2 modify-network-interface-attribute --network-interface-id eni-6 --no-source-dest-check"

echo "# who confirms"
content /usr/local/sbin/gateway-confirm >"$DIR/confirm"
# confirming STATE…: what is said when the status is that, one after the other and then the last again; looks.
confirming() {
	printf '%s\n' "$@" >"$DIR/states"
	: >"$DIR/looks"
	cat >"$DIR/nfq2xdp" <<-'END'
		#!/bin/sh
		dir=$(dirname "$0")
		[ "$2" = status ] || { echo "$@"; exit; }
		echo >>"$dir/looks"
		state=$(sed -n "$(wc -l <"$dir/looks")p" "$dir/states")
		state=${state:-$(tail -1 "$dir/states")}
		echo "{\"state\":\"${state%!}\",\"generation\":3}"
		[ "${state%!}" = "$state" ] || exit 4
	END
	echo 'exit 0' >"$DIR/sleep"
	echo '! grep -q GONE "$(dirname "$0")/states"' >"$DIR/systemctl"
	chmod +x "$DIR"/{sleep,systemctl}
	PATH=$DIR:$PATH timeout -s KILL 60 sh "$DIR/confirm"
	echo "$?, $(wc -l <"$DIR/looks") looks"
}
check "ten minutes at all" "$(confirming SPLIT FULL)" "migrate confirm 3 -c /etc/nfq2xdp/br0.yaml
0, 61 looks"
check "a problem begins them anew" "$(confirming FULL FULL! FULL)" "migrate confirm 3 -c /etc/nfq2xdp/br0.yaml
0, 62 looks"
check "somebody else did" "$(confirming SPLIT CONFIRMED)" "0, 2 looks"
check "it went back" "$(confirming GONE)" "1, 1 looks"

if command -v terraform >/dev/null; then
	check "terraform fmt" "$(terraform fmt -check -diff deploy/terraform 2>/dev/null)" ""
fi

echo "# Ansible"
check "syntax" "$(ansible-playbook --syntax-check -i localhost, deploy/ansible/rollout.yml 2>&1 | grep -v '^$\|WARNING\|Could not match')" \
	"playbook: deploy/ansible/rollout.yml"
tally
