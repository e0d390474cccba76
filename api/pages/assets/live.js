// What a page does beyond links and forms: regions that run are fetched again, choices show their settings at once,
// files are sent. Each page works without it, but for the last.

document.documentElement.classList.add("scripted");

// Regions marked by `data-live` are fetched again, with the page around them, until the page marks none any more.

const PAUSE_MS = 2000;
const MOST_PAUSE_MS = 30000;

/** Make `old` what `fresh` is, and leave alone whatever is the same: focus, scroll and loaded images stay. */
function mend(old, fresh) {
  if (old.isEqualNode(fresh) || old.matches?.("[data-upload]")) return;
  if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== fresh.nodeName || old.id !== fresh.id || old.name !== fresh.name) {
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
  const { activeElement } = document;
  for (const region of document.querySelectorAll("[data-live]")) {
    const found = fresh.getElementById(region.id);
    if (found) mend(region, found);
    else region.removeAttribute("data-live");
  }
  if (!activeElement.isConnected) document.getElementById("main").focus({ preventScroll: true }); // it went away
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

// A choice that is marked by `data-shows` asks for the form anew, with the inputs that belong to what was chosen.

async function showSettings({ form }) {
  const fields = new URLSearchParams(new FormData(form));
  fields.set("act", "show");
  const answer = await fetch(form.action, { method: "POST", body: fields, credentials: "same-origin" });
  if (!answer.ok) return form.querySelector("[data-show]").click(); // let the page say why
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  mend(form, fresh.getElementById(form.id));
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-shows]")) showSettings(event.target);
});

// A file that is chosen or dropped in a zone marked by `data-upload` is sent there; its address fills `data-fills`.

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function sendFile(zone, file) {
  const { form_token: token, [zone.dataset.fills]: field } = zone.closest("form").elements;
  const [row, bar, stop, status] = ["p", "progress", "button", "[role=status]"].map((one) => zone.querySelector(one));
  const request = new XMLHttpRequest();
  const said = (text) => (status.textContent = text);
  request.open("POST", `${zone.dataset.upload}?filename=${encodeURIComponent(file.name.slice(-255))}`);
  request.setRequestHeader("X-Form-Token", token.value);
  request.responseType = "json";
  request.upload.onprogress = ({ loaded, total }) => (bar.value = (100 * loaded) / total);
  request.onabort = () => said("Stopped. Nothing of the file was kept.");
  request.onerror = () => said("The connection broke off. Choose the file again.");
  request.onload = () => {
    if (request.status !== 201) return said(sentence(request.response?.detail ?? `the server answered ${request.status}`));
    field.value = request.response.uri;
    said(`${file.name} is here, as the dataset above.`);
  };
  request.onloadend = () => (row.hidden = true);
  stop.onclick = () => request.abort();
  bar.value = 0;
  row.hidden = false;
  said(`Sending ${file.name} …`);
  request.send(file);
}

for (const zone of document.querySelectorAll("[data-upload]")) {
  const over = (isOver) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", isOver);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", over(false));
  zone.addEventListener("drop", ({ dataTransfer: { files } }) => files.length && sendFile(zone, files[0]));
  zone.querySelector("input").addEventListener("change", ({ target: { files } }) => files.length && sendFile(zone, files[0]));
}
