// The learning page follows a run that is under way.
import { $ } from "./common.js";

if ($("[data-running]")) setInterval(async () => {
  const answer = await fetch(location.pathname + "?partial=1");
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  $("main").replaceWith(next.querySelector("main"));
}, 3000);
