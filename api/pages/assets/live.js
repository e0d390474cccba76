// Regions marked by `data-live` are fetched again, with the page around them, until the page marks none any more.

const PAUSE_MS = 2000;
const MOST_PAUSE_MS = 30000;

/** Make `old` what `fresh` is, and leave alone whatever is the same: focus, scroll and loaded images stay. */
function mend(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  const isOpen = old.nodeName === "DETAILS" && old.open; // as its reader left it
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.nodeName === "DETAILS") old.open = isOpen;
  mendChildren(old, [...fresh.childNodes]);
}

function mendChildren(parent, fresh) {
  const old = [...parent.childNodes];
  old.slice(fresh.length).forEach((node) => node.remove());
  fresh.forEach((node, place) => (place < old.length ? mend(old[place], node) : parent.append(node)));
}

async function refresh() {
  const answer = await fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload(); // the session has ended
  if (!answer.ok) throw new Error(`${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const found = fresh.getElementById(region.id);
    if (found) mend(region, found);
    else region.removeAttribute("data-live");
  }
}

async function follow() {
  let pause = PAUSE_MS;
  while (document.querySelector("[data-live]")) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (document.hidden) continue;
    try {
      await refresh();
      pause = PAUSE_MS;
    } catch {
      pause = Math.min(2 * pause, MOST_PAUSE_MS); // the server is away, or asks for patience
    }
  }
}

follow();
