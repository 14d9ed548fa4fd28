#!/usr/bin/env bash
# Upload a file, ask a question, watch the answer arrive: curl alone.
#
#   DOKKAI_URL=http://127.0.0.1:8080 DOKKAI_KEY=secret examples/clients/curl.sh manual.pdf "How long does the battery last?"
#
# DOKKAI_KEY only where the server asks for one.
set -euo pipefail

url=${DOKKAI_URL:-http://127.0.0.1:8080}
file=$1
question=$2

dokkai() { curl --silent --show-error --fail-with-body ${DOKKAI_KEY:+--header "Authorization: Bearer $DOKKAI_KEY"} "$@"; }

# Waits until the document is searchable.
dokkai --form "file=@$file" "$url/api/documents?wait=true"
echo

# JSON strings need their quotes and backslashes escaped.
escaped=${question//\\/\\\\}
escaped=${escaped//\"/\\\"}
body="{\"question\": \"$escaped\"}"

# The whole record, once it is finished.
dokkai --header 'Content-Type: application/json' --data "$body" "$url/api/questions"
echo

# The same as events, as they happen: retrieval, analysis, delta, done.
dokkai --no-buffer --header 'Content-Type: application/json' --header 'Accept: text/event-stream' --data "$body" \
  "$url/api/questions"
