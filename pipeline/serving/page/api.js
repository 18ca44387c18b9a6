// Asks the service. Every failure becomes an Error with a message for people.

import { byId } from "./dom.js";

export class ServiceError extends Error {}

export async function get(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return ask(query ? `${path}?${query}` : path, { signal });
}

export async function post(path, content, signal = undefined) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content), signal });
}

async function ask(path, options) {
  const answer = await reach(path, options);
  if (answer.status === 401 && path !== "/api/session") {
    await login();
    return ask(path, options);
  }
  if (!answer.ok) throw new ServiceError(await reason(answer));
  return answer.status === 204 ? null : answer.json();
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer. Is `siglane serve` still running?");
  }
}

async function reason(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}

let asking = null; // one dialog for all requests that need the token

function login() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("login");
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    byId("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await post("/api/session", { token: byId("token").value });
      } catch (error) {
        byId("login-problem").textContent = error.message;
        return;
      }
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}
