// Keeps a page as the daemon would write it now. It asks for the same page again and takes over the part that is alive; it makes
// nothing by itself, and without it the pages read the same.
"use strict";
(() => {
  const part = () => document.getElementById("live");
  const stale = document.getElementById("stale");
  if (!part()) return;

  // Nobody loses what they type or have marked.
  const busy = () => {
    const at = document.activeElement;
    const typing = at && part().contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
    const chosen = document.getSelection();
    return typing || (chosen && !chosen.isCollapsed && part().contains(chosen.anchorNode));
  };

  let asking = false;
  let again = false;
  const renew = async () => {
    if (asking) { again = true; return; }
    if (document.hidden || busy()) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = fresh.getElementById("live");
      if (next && !busy()) {
        const link = document.activeElement && document.activeElement.getAttribute("href");
        const inside = part().contains(document.activeElement);
        part().replaceWith(document.adoptNode(next));
        document.title = fresh.title;
        const written = document.querySelector("footer");
        const now = fresh.querySelector("footer");
        if (written && now) written.replaceWith(document.adoptNode(now));
        if (inside && link) {
          const same = Array.from(part().querySelectorAll("a[href]")).find((a) => a.getAttribute("href") === link);
          if (same) same.focus();
        }
      }
      stale.hidden = true;
    } catch (error) {
      stale.hidden = false;
    } finally {
      asking = false;
      if (again) { again = false; renew(); }
    }
  };

  const every = Number(part().dataset.every || 15);
  setInterval(renew, every * 1000);
  document.addEventListener("visibilitychange", renew);

  const place = part().dataset.watch;
  if (place) {
    const stream = new EventSource(place);
    stream.addEventListener("more", renew);
    stream.addEventListener("over", () => { stream.close(); renew(); });
    // What was missed meanwhile is seen by the next renewal; a session that is over shows there as well.
    stream.addEventListener("error", renew);
  }
})();
