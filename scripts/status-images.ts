// SPDX-License-Identifier: Apache-2.0
// `node scripts/status-images.ts`: the pictures of the status page in docs/images, of real pods in a real browser. It needs the
// bundle, Envoy and Chromium: `node scripts/setup.mjs bundle envoy test-tools`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BrowserPage, startBrowser, type View } from "../test/support/browser.ts";
import { eventually } from "../test/support/eventually.ts";
import { type SceneName, startScene } from "../test/support/status-scenes.ts";

interface Picture {
  readonly file: string;
  readonly scene: SceneName;
  /** Shown when the page is worth a picture. */
  readonly shows: RegExp;
  readonly view: View;
}

const desktop = { width: 1_100, height: 1_150 };
const phone = { width: 390, height: 844, isPhone: true };

const pictures: readonly Picture[] = [
  { file: "status-page", scene: "healthy", shows: /(?:[4-9]|\d\d) s ago/, view: desktop },
  {
    file: "status-page-rejected",
    scene: "refused route",
    shows: /for [3-9] s: Only.*NACKED/s,
    view: { ...desktop, scheme: "dark" },
  },
  { file: "status-page-expired", scene: "expired certificate", shows: /expired [2-9] s ago/, view: phone },
  { file: "status-page-no-envoy", scene: "no Envoy", shows: /Envoy has exited/, view: { ...phone, scheme: "dark" } },
];

async function untilShown(page: BrowserPage, text: RegExp): Promise<void> {
  await eventually(
    async () => {
      if (!text.test(await page.text())) throw new Error(`the page does not show ${String(text)}`);
    },
    { withinMs: 20_000 },
  );
}

await using browser = await startBrowser();
for (const { file, scene: name, shows, view } of pictures) {
  await using scene = await startScene(name);
  const page = await browser.page(view);
  await page.open(scene.url);
  await untilShown(page, shows);
  const image = await page.screenshot({ mostHeight: view.height, format: "webp" });
  writeFileSync(join(import.meta.dirname, "../docs/images", `${file}.webp`), image);
  process.stdout.write(`${file}.webp: ${name}, ${(image.length / 1_000).toFixed(0)} kB\n`);
}
