"""Ask as a chat model, streamed, with the `openai` package.

    pip install openai
    DOKKAI_URL=http://127.0.0.1:8080 DOKKAI_KEY=secret python3 examples/clients/chat.py "How long does the battery last?"

DOKKAI_KEY only where the server asks for one.
"""

import os
import sys

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("DOKKAI_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ.get("DOKKAI_KEY", "none"),
)
stream = client.chat.completions.create(
    model="dokkai",  # or dokkai/COLLECTION
    messages=[{"role": "user", "content": sys.argv[1]}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.usage:
        print(f"\n{chunk.usage.total_tokens} tokens")
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
