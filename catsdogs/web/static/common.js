// What the pages share: making elements, asking the server, and numbers in words.

/** An element with properties and children; a property that starts with "aria-" or "data-" becomes an attribute. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** The JSON the server answers with, and its status; throws an Error with a sentence where there is none. */
export async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  try {
    return { status: response.status, body: await response.json() };
  } catch {
    throw new Error(`The server answered ${response.status} without a word.`);
  }
}

/** "99.3 %"; what is rounded to a certainty says so. */
export function percent(share) {
  if (share >= 0.9995) return "over 99.9 %";
  if (share < 0.0005) return "under 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** A thumbnail, or an empty place of its size where the photograph is not at hand. */
export function picture(address, alt) {
  if (!address) return h("div", { className: "no-picture" }, "no picture");
  return h("img", { src: address, alt, loading: "lazy", decoding: "async" });
}
