// SPDX-License-Identifier: Apache-2.0
import { mkdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { startStatus } from "./status-fixture.ts";

/** Lets a real browser open the page for some seconds of its own time and gives back what stands in it then. */
async function browse(url: string, ...args: readonly string[]): Promise<string> {
  await using profile = await temporaryDirectory();
  await mkdir(`${profile.path}/home`);
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  const own = [`--user-data-dir=${profile.path}/profile`, "--virtual-time-budget=6000", "--window-size=1100,900"];
  const env = { HOME: `${profile.path}/home`, DBUS_SESSION_BUS_ADDRESS: "disabled:" };
  const { code, stdout, stderr } = await runProgram("chromium", [...flags, ...own, ...args, "--dump-dom", url], {
    env,
  });
  if (code !== 0) throw new Error(`chromium (Debian package chromium) failed: ${stderr.slice(-2_000)}`);
  return stdout;
}

test("a browser shows the page, runs its script under its own policy, and sees it come up to date", async () => {
  let pages = 0;
  const certificates = () => {
    pages++;
    return [
      { resourceName: "default", spiffeId: `spiffe://c/ns/a/sa/${String(pages)}`, notAfterMs: Date.now() + 3_600_000 },
    ];
  };
  const startPhases = () => [
    { name: "Envoy started", atMs: 20 },
    { name: "certificate in Envoy", atMs: 130 },
  ];
  await using status = await startStatus({}, { inspect: { certificates }, startPhases });
  status.readiness.hold("DNS table", "no table was received");
  const dom = await browse(status.url("/"));
  expect(dom).toContain('<p id="state" class="failed">not ready</p>');
  expect(dom).toContain("no table was received");
  expect(dom).toMatch(/certificate in Envoy<\/td><td>20\.0 ms<\/td><td>\+110\.0 ms/);
  // the script has fetched the page again, and put its new content in the place of the old
  const shown = Number(/spiffe:\/\/c\/ns\/a\/sa\/(\d+)/.exec(dom)?.[1]);
  expect(shown).toBeGreaterThan(1);
  expect(shown).toBeLessThanOrEqual(pages);
  expect(dom.match(/<main>/g)).toHaveLength(1);
}, 60_000);
