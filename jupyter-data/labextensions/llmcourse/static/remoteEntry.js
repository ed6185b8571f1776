/* What JupyterLab and ipywidgets leave nameless, named, for those who listen to a page.

A figure's alternative text stands in its cell's metadata (`alt`), where JupyterLab does not look.
A slider has no accessible name, says "1.0000000000000002" for 1, and its readout is a second stop of
the tab key. In the dark theme, figures drawn on white get the corners of a card.

It is written by hand and needs no build: `_JUPYTERLAB.llmcourse` is what the build tools would have
made, a container with one module in it. */
(() => {
  const DELAY = 60; // milliseconds: one visit for many changes
  const STYLE = `
    body[data-jp-theme-light="false"] img.llmcourse-figure {
      background: #ffffff; border-radius: 8px; box-shadow: 0 0 0 4px #ffffff; margin: 4px;
    }
    img.llmcourse-figure { height: auto; }`;

  function nameSliders(node) {
    const said = [];
    for (const title of node.querySelectorAll(".widget-label")) {
      const control = title.parentElement;
      const label = title.textContent.trim();
      const handle = control.querySelector('[role="slider"]');
      const readout = control.querySelector(".widget-readout");
      const field = control.querySelector("select, input:not([type='hidden'])");
      const value = (readout ?? field?.selectedOptions?.[0])?.textContent.trim() ?? field?.value;
      if (label && value) said.push(`${label} ${value}`);
      if (handle) {
        handle.setAttribute("aria-label", label);
        if (value) handle.setAttribute("aria-valuetext", value);
        handle.setAttribute("aria-disabled", Boolean(handle.closest("[disabled]")));
        if (readout) readout.tabIndex = -1;
      }
    }
    return said.join(", ");
  }

  function nameFigures(cell) {
    const alt = cell.model.getMetadata("alt");
    for (const figure of cell.node.querySelectorAll(".jp-RenderedImage img, img.widget-image")) {
      figure.classList.add("llmcourse-figure");
      const controls = figure.classList.contains("widget-image") && figure.parentElement;
      const now = controls ? nameSliders(controls) : "";
      const text = [alt, now && `Now: ${now}.`].filter(Boolean).join(" ");
      if (text && figure.alt !== text) figure.alt = text;
    }
  }

  function visit(app) {
    for (const panel of app.shell.widgets("main")) {
      const cells = panel.content?.model?.cells ? panel.content.widgets : [];
      for (const cell of cells) nameFigures(cell);
    }
  }

  const plugin = {
    id: "llmcourse:names",
    description: "Alternative texts and names in the course's notebooks",
    autoStart: true,
    activate: (app) => {
      const style = document.createElement("style");
      style.textContent = STYLE;
      document.head.append(style);
      let waiting = null;
      const soon = () => {
        waiting ??= setTimeout(() => {
          waiting = null;
          visit(app);
        }, DELAY);
      };
      const watched = { childList: true, subtree: true, attributeFilter: ["aria-valuenow", "src"] };
      new MutationObserver(soon).observe(document.body, watched);
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.llmcourse = {
    init: () => {},
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
