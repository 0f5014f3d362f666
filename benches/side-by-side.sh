#!/usr/bin/env bash
# midgate beside a bare Pingora proxy and beside nginx, on one core each, in turns.
#
# What is compared:
# - All of them run with ONE worker, pinned to the same core; only one of them is asked at a time. The load generator
#   (wrk) and the upstream (nginx with a small answer from memory) share the other core.
# - midgate and bare Pingora come of one build: same profile, same versions, same time limits and connection pools
#   (benches/bare_pingora.rs). nginx keeps its connections to the upstream too. No access log anywhere.
# - "bare+9" is the same bare proxy that sends nine constant headers up, as many as midgate sends of a person and of the
#   request. What lies between bare and bare+9 is Pingora's price for headers; what lies between bare+9 and midgate is
#   the gateway's own work. The goal is held against bare.
# - Every request brings the cookie of one of 10,000 real sessions, each made by a login of its own, and an `Accept`.
#   The other two get the same requests and pass them on; midgate decides on them and sends five identity headers.
# - Machines are noisy, so what counts are ratios of medians over interleaved rounds. Beside requests per second stand
#   requests per second of the process's own processor time: the same when the core is the process's alone, and nearer
#   the truth when it is not.
# - For latencies wrk pauses at random between the requests of each connection, so that every proxy gets the same load,
#   about half of what midgate can do. wrk has no fixed rate.
#
# usage: benches/side-by-side.sh       variables: ROUNDS ROUND_SECONDS CONNECTIONS SESSIONS FRONT_CORE
# LOAD_CORE PORT
set -euo pipefail
cd "$(dirname "$0")/.."
# nginx lives where users do not look.
PATH=$PATH:/usr/sbin

rounds=${ROUNDS:-7} seconds=${ROUND_SECONDS:-4} connections=${CONNECTIONS:-32} sessions=${SESSIONS:-10000}
front=${FRONT_CORE:-0} load=${LOAD_CORE:-1} port=${PORT:-18300}
declare -A at=([midgate]=$port [bare]=$((port + 1)) [nginx]=$((port + 2)) ["bare+9"]=$((port + 6)))
contenders=(midgate bare bare+9 nginx)
upstream=$((port + 3)) provider=$((port + 4)) health=$((port + 5))
target=${CARGO_TARGET_DIR:-target}/release

# One build for all of it: feature `bench` adds entry points that the gateway never calls.
cargo build --locked --release --features bench --bin midgate --example bare_pingora --example stage

dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  sleep 1
  # Pingora would wait five minutes for requests under way.
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

wait_for() { # port
  for _ in $(seq 1 1000); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
    sleep 0.005
  done
  echo "nothing listens on port $1" >&2
  exit 1
}

cat >"$dir/upstream.conf" <<CONF
daemon off; worker_processes 1; pid $dir/upstream.pid; error_log $dir/upstream.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path $dir/u1; proxy_temp_path $dir/u2; fastcgi_temp_path $dir/u3; uwsgi_temp_path $dir/u4;
  scgi_temp_path $dir/u5;
  server { listen 127.0.0.1:$upstream backlog=4096; location / { default_type text/plain; return 200 "hello from upstream\n"; } }
}
CONF
cat >"$dir/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $dir/nginx.pid; error_log $dir/nginx.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 60s;
  client_body_temp_path $dir/n1; proxy_temp_path $dir/n2; fastcgi_temp_path $dir/n3; uwsgi_temp_path $dir/n4;
  scgi_temp_path $dir/n5;
  upstream up { server 127.0.0.1:$upstream; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${at[nginx]} backlog=4096;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
CONF
cat >"$dir/gateway.toml" <<CONF
public_url = "http://127.0.0.1:${at[midgate]}"
[listen]
address = ["127.0.0.1:${at[midgate]}"]
health = "127.0.0.1:$health"
workers = 1
[log]
access = false
level = "error"
[[provider]]
id = "op"
issuer = "http://127.0.0.1:$provider"
discovery = "http://127.0.0.1:$provider/.well-known/openid-configuration"
client_id = "bench"
client_secret = "a secret of the bench's"
[provider.claims]
name = "name"
documentId = "documentId"
[[route]]
upstream = "http://127.0.0.1:$upstream"
CONF

taskset -c "$load" nginx -p "$dir" -c "$dir/upstream.conf" & pids+=($!)
wait_for "$upstream"

now() { date +%s%N; }
started=$(now)
taskset -c "$front" "$target/midgate" run --config "$dir/gateway.toml" >"$dir/midgate.log" 2>&1 &
declare -A pid=([midgate]=$!)
pids+=("${pid[midgate]}")
wait_for "${at[midgate]}"
listening=$((($(now) - started) / 1000000))
taskset -c "$front" "$target/examples/bare_pingora" "127.0.0.1:${at[bare]}" "127.0.0.1:$upstream" & pid[bare]=$!
pids+=("${pid[bare]}")
taskset -c "$front" "$target/examples/bare_pingora" "127.0.0.1:${at[bare+9]}" "127.0.0.1:$upstream" headers & pid[bare+9]=$!
pids+=("${pid[bare+9]}")
taskset -c "$front" nginx -p "$dir" -c "$dir/nginx.conf" & pids+=($!)
wait_for "${at[bare]}"
wait_for "${at[bare+9]}"
wait_for "${at[nginx]}"
# The worker does the work.
pid[nginx]=$(pgrep -P "${pids[-1]}")

resident() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/${pid[$1]}/status"; }
# Processor time of a process in clock ticks.
ticks() { sed 's/.*) //' "/proc/${pid[$1]}/stat" | awk '{ print $12 + $13 }'; }
hz=$(getconf CLK_TCK)
sleep 1
idle=$(resident midgate) idle_bare=$(resident bare)

echo "signing in $sessions times …"
before=$(ticks midgate)
mkfifo "$dir/hold"
taskset -c "$load" "$target/examples/stage" "$provider" "${at[midgate]}" "$sessions" "$dir/cookies" <"$dir/hold" >"$dir/stage.log" &
pids+=($!)
exec 9>"$dir/hold"
until [ -s "$dir/stage.log" ]; do
  kill -0 "${pids[-1]}" 2>/dev/null || { echo "the logins failed" >&2; exit 1; }
  sleep 0.1
done
spent=$(($(ticks midgate) - before))
logins=$(awk -v n="$sessions" -v t="$spent" -v hz="$hz" 'BEGIN { printf "%.0f of its own processor time a second", n / (t / hz) }')
full=$(resident midgate)

for name in "${contenders[@]}"; do
  got=$(curl -s -H "Cookie: $(head -1 "$dir/cookies")" "http://127.0.0.1:${at[$name]}/")
  [ "$got" = "hello from upstream" ] || { echo "$name answers: $got" >&2; exit 1; }
done

# One run; prints: requests a second, failed, p50 and p99 in µs, requests a second of processor time, share of the core.
run() { # name, connections, pause in ms, seconds
  local before after line
  before=$(ticks "$1")
  line=$(taskset -c "$load" wrk -t1 -c"$2" -d"$4"s -s benches/sessions.lua "http://127.0.0.1:${at[$1]}" -- "$dir/cookies" "$3" | grep '^RESULT')
  after=$(ticks "$1")
  echo "$line" | awk -v ticks=$((after - before)) -v hz="$hz" -v s="$4" \
    '{ cpu = ticks / hz; printf "%d %d %d %d %.0f %.0f\n", $2, $3, $4, $5, $6 / cpu, cpu / s * 100 }'
}
column() { sort -n -k"$2,$2" "$1" | awk -v c="$2" '{ v[NR] = $c } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for name in "${contenders[@]}"; do run "$name" "$connections" 0 1 >/dev/null; done
for round in $(seq 1 "$rounds"); do
  for name in "${contenders[@]}"; do
    line=$(run "$name" "$connections" 0 "$seconds")
    echo "$line" >>"$dir/full.$name"
    printf 'round %d  %-8s %s\n' "$round" "$name" "$(echo "$line" | awk '{ printf "%7d /s  %7d /s of processor time  core %3d %%  failed %d", $1, $5, $6, $2 }')"
  done
done
# A connection asks about once in 2 ms plus the answer's time.
half=$(awk -v r="$(column "$dir/full.midgate" 1)" 'BEGIN { printf "%d", r / 2 * 0.0022 + 1 }')
for round in $(seq 1 "$rounds"); do
  for name in "${contenders[@]}"; do run "$name" "$half" 3 "$seconds" >>"$dir/half.$name"; done
done

echo
printf '%-8s %12s %22s %14s %14s %12s\n' '' 'requests/s' '… of processor time' 'p50 half load' 'p99 half load' 'at'
for name in "${contenders[@]}"; do
  printf '%-8s %12.0f %22.0f %11.0f µs %11.0f µs %10.0f/s\n' "$name" "$(column "$dir/full.$name" 1)" "$(column "$dir/full.$name" 5)" \
    "$(column "$dir/half.$name" 3)" "$(column "$dir/half.$name" 4)" "$(column "$dir/half.$name" 1)"
done
ratio() { # other, column: the median of the rounds' own ratios
  paste "$dir/full.midgate" "$dir/full.$1" | awk -v c="$2" '{ print $c / $(c + 6) }' | sort -n | awk '{ v[NR] = $1 } END { printf "%.3f", (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
echo
echo "midgate : bare Pingora   $(ratio bare 1)   of processor time $(ratio bare 5)   (goal 0.97)"
echo "midgate : bare+9         $(ratio bare+9 1)   of processor time $(ratio bare+9 5)"
echo "midgate : nginx          $(ratio nginx 1)   of processor time $(ratio nginx 5)"
echo "p99 over bare Pingora    $(awk -v a="$(column "$dir/half.midgate" 4)" -v b="$(column "$dir/half.bare" 4)" 'BEGIN { printf "%.0f µs", a - b }') at half load (goal under 50 µs)"
echo "logins                   $logins (goal 1000); $(cat "$dir/stage.log"), the provider's signatures included"
echo "listening after          $listening ms (goal under 300 ms)"
echo "resident                 idle $idle MiB (goal under 25 MiB; bare Pingora $idle_bare), with $sessions sessions $full, after the load $(resident midgate)"
