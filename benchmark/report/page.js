"use strict";
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var narrow = window.matchMedia("(max-width: 700px)");
  var printing = false;
  // Colours of style.py and what they are on a dark page.
  var night = {
    "#1a1a1a": "#e8e8e8", "#d8d8d8": "#43474c", "#ffffff": "#17191c", "#5c5c5c": "#b0b0b0",
    "#000000": "#ffffff", "#0072B2": "#4aa8e0"
  };

  function recoloured(value, key) {
    if (Array.isArray(value)) { return value.map(function (one) { return recoloured(one, key); }); }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (name) { copy[name] = recoloured(value[name], name); });
      return copy;
    }
    // Only where a colour stands: a text that looks like one stays.
    return /color$/.test(key) && Object.hasOwn(night, value) ? night[value] : value;
  }

  function draw(place) {
    var given = JSON.parse(place.parentElement.nextElementSibling.textContent);
    var figure = recoloured({ data: given.data, layout: given.layout }, "");
    if (!dark.matches || printing) { figure = { data: given.data, layout: given.layout }; }
    var layout = figure.layout, height = given.height;
    layout.dragmode = false;
    if (narrow.matches) {
      figure.data.forEach(function (trace) {
        if (trace.colorbar) {
          Object.assign(trace.colorbar, { orientation: "h", x: 0, xanchor: "left", y: 1,
            yanchor: "bottom", len: 1 });
          height += 60;
        }
      });
      layout.legend = Object.assign({}, layout.legend, {
        orientation: "h", x: 0, xanchor: "left", y: -0.1, yanchor: "top", yref: "paper"
      });
      // The legend takes its place from the plot's.
      height += 24 * given.legendRows;
      if (given.legendRows) { layout.legend.y = -64 / Math.max(200, given.height - 64); }
    }
    layout.height = height;
    Plotly.react(place, figure.data, layout, {
      responsive: true, displaylogo: false, displayModeBar: false, showTips: false
    });
  }

  function visible(place) { return !place.closest("details:not([open])"); }

  function drawAll() {
    document.querySelectorAll(".plot").forEach(function (place) {
      if (visible(place)) { draw(place); }
    });
  }

  function sort(button) {
    var head = button.closest("th"), table = button.closest("table"), body = table.tBodies[0];
    var column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
    function key(row) {
      var value = row.cells[column].dataset.value;
      if (value === undefined) { return null; }
      return value !== "" && isFinite(value) ? Number(value) : value;
    }
    var rows = Array.from(body.rows).map(function (row) { return [key(row), row]; });
    rows.sort(function (a, b) {
      if (a[0] === null || b[0] === null) { return (a[0] === null) - (b[0] === null); }
      var both = typeof a[0] === "number" && typeof b[0] === "number";
      var order = both ? a[0] - b[0] : String(a[0]).localeCompare(String(b[0]));
      return up ? order : -order;
    });
    rows.forEach(function (pair) { body.appendChild(pair[1]); });
    table.querySelectorAll("th[aria-sort]").forEach(function (th) {
      th.removeAttribute("aria-sort");
    });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }

  document.querySelectorAll("table.sortable th button").forEach(function (button) {
    button.addEventListener("click", function () { sort(button); });
  });
  document.querySelectorAll("details").forEach(function (details) {
    details.addEventListener("toggle", function () {
      if (!details.open) { return; }
      details.querySelectorAll(".plot").forEach(function (place) {
        if (visible(place)) { draw(place); }
      });
    });
  });
  dark.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", function () { printing = true; drawAll(); });
  window.addEventListener("afterprint", function () { printing = false; drawAll(); });
  drawAll();
})();
