// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { watchFiles } from "../../../../src/lib/fs/file-watch.ts";
import { eventually } from "../../../support/eventually.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const options = { clock: systemClock, debounceMs: 20, pollMs: 60_000 };

interface Reader extends AsyncDisposable {
  /** What was read at each change that made a difference; "none" while the file is missing. */
  readonly seen: readonly string[];
}

function follow(path: string): Reader {
  const stop = new AbortController();
  const seen: string[] = [];
  const end = (async () => {
    for await (const _ of watchFiles([path], options, stop.signal)) {
      const text = await readFile(path, "utf8").catch(() => "none");
      if (seen.at(-1) !== text) seen.push(text);
    }
  })();
  return {
    seen,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await end;
    },
  };
}

async function untilSeen(reader: Reader, texts: readonly string[]): Promise<void> {
  await eventually(
    () => {
      expect(reader.seen).toEqual(texts);
    },
    { withinMs: 3_000 },
  );
}

async function untilLast(reader: Reader, text: string): Promise<void> {
  await eventually(
    () => {
      expect(reader.seen.at(-1)).toBe(text);
    },
    { withinMs: 3_000 },
  );
}

async function swapLink(target: string, path: string): Promise<void> {
  await symlink(target, `${path}.tmp`);
  await rename(`${path}.tmp`, path);
}

describe("watching files", () => {
  test("D2, D4: in-place writes, renames over it, removal and return are seen", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "f");
    await writeFile(path, "1");
    await using reader = follow(path);
    await untilSeen(reader, ["1"]);
    await writeFile(path, "2");
    await untilSeen(reader, ["1", "2"]);
    await writeFile(`${path}.new`, "3");
    await rename(`${path}.new`, path);
    await untilSeen(reader, ["1", "2", "3"]);
    await rm(path);
    await untilSeen(reader, ["1", "2", "3", "none"]);
    await writeFile(path, "4");
    await untilSeen(reader, ["1", "2", "3", "none", "4"]);
  });

  test("D7: a relative path is watched where it led to at first", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "f");
    await writeFile(path, "1");
    await using reader = follow(relative(process.cwd(), path));
    await untilSeen(reader, ["1"]);
    await writeFile(`${path}.new`, "2");
    await rename(`${path}.new`, path);
    await untilSeen(reader, ["1", "2"]);
  });

  test("D8, D11: the swap of a link to a folder, as the kubelet does it, is seen each time", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    for (const version of ["v1", "v2", "v3"]) {
      await mkdir(at(version));
      await writeFile(at(`${version}/f`), version);
    }
    await symlink("v1", at("..data"));
    await symlink("..data/f", at("f"));
    await using reader = follow(at("f"));
    await untilSeen(reader, ["v1"]);
    await swapLink("v2", at("..data"));
    await rm(at("v1"), { recursive: true });
    await untilSeen(reader, ["v1", "v2"]);
    await swapLink("v3", at("..data"));
    await untilSeen(reader, ["v1", "v2", "v3"]);
  });

  test("D10, D12: a chain of links through another folder that itself swaps is seen three times", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    await mkdir(at("outer"));
    await mkdir(at("store/1"), { recursive: true });
    await mkdir(at("store/2"));
    await mkdir(at("store/3"));
    for (const n of ["1", "2", "3"]) await writeFile(at(`store/${n}/f`), n);
    await symlink("1", at("store/current"));
    await symlink(at("store/current"), at("outer/certs"));
    await symlink("certs/f", at("outer/f"));
    await using reader = follow(at("outer/f"));
    await untilSeen(reader, ["1"]);
    await swapLink("2", at("store/current"));
    await untilSeen(reader, ["1", "2"]);
    await swapLink("3", at("store/current"));
    await untilSeen(reader, ["1", "2", "3"]);
    await swapLink("1", at("store/current"));
    await untilSeen(reader, ["1", "2", "3", "1"]);
  });

  test("D9: a folder that is removed and made again is watched again", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "deep/er/f");
    await using reader = follow(path);
    await untilSeen(reader, ["none"]);
    await mkdir(join(directory.path, "deep/er"), { recursive: true });
    await writeFile(path, "1");
    await untilSeen(reader, ["none", "1"]);
    await rm(join(directory.path, "deep"), { recursive: true });
    await untilSeen(reader, ["none", "1", "none"]);
    await mkdir(join(directory.path, "deep/er"), { recursive: true });
    await writeFile(path, "2");
    await untilSeen(reader, ["none", "1", "none", "2"]);
  });

  test("D9: a folder that another one takes the place of is watched from then on", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    for (const version of ["1", "2"]) {
      await mkdir(at(version));
      await writeFile(at(`${version}/f`), version);
    }
    await rename(at("1"), at("certs"));
    await using reader = follow(at("certs/f"));
    await untilSeen(reader, ["1"]);
    await rename(at("certs"), at("1"));
    await rename(at("2"), at("certs"));
    await untilLast(reader, "2");
    await writeFile(at("certs/f"), "3");
    await untilLast(reader, "3");
  });

  test("a kubelet's volume that is mounted later, gains a key and is swapped is seen at each step", async () => {
    await using directory = await temporaryDirectory();
    const volume = join(directory.path, "mount/volume");
    const path = join(volume, "f");
    const write = async (version: string, files: readonly string[]): Promise<void> => {
      await mkdir(join(volume, `..${version}`), { recursive: true });
      for (const name of files) await writeFile(join(volume, `..${version}`, name), version);
      await swapLink(`..${version}`, join(volume, "..data"));
    };
    await using reader = follow(path);
    await untilSeen(reader, ["none"]);
    await write("v1", ["other"]);
    await write("v2", ["other", "f"]);
    await symlink("..data/f", path);
    await untilSeen(reader, ["none", "v2"]);
    await write("v3", ["other", "f"]);
    await untilSeen(reader, ["none", "v2", "v3"]);
    await write("v4", ["other"]);
    await untilSeen(reader, ["none", "v2", "v3", "none"]);
    await write("v5", ["f"]);
    await untilSeen(reader, ["none", "v2", "v3", "none", "v5"]);
  });

  test("the last of many swaps in a row is seen", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    await symlink("..data/f", at("f"));
    await using reader = follow(at("f"));
    await untilSeen(reader, ["none"]);
    for (let version = 1; version <= 30; version++) {
      await mkdir(at(`..${String(version)}`));
      await writeFile(at(`..${String(version)}/f`), String(version));
      await swapLink(`..${String(version)}`, at("..data"));
      if (version > 1) await rm(at(`..${String(version - 1)}`), { recursive: true });
    }
    await untilLast(reader, "30");
    await writeFile(at("..30/f"), "in place");
    await untilLast(reader, "in place");
  });

  test("an in-place write behind a chain of links is seen", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    await mkdir(at("store"));
    await writeFile(at("store/f"), "1");
    await symlink(at("store"), at("second"));
    await symlink("second", at("first"));
    await using reader = follow(at("first/f"));
    await untilSeen(reader, ["1"]);
    await writeFile(at("store/f"), "2");
    await untilSeen(reader, ["1", "2"]);
    await writeFile(at("store/f"), "3");
    await untilSeen(reader, ["1", "2", "3"]);
  });

  test("a link to a folder that does not exist yet is followed once the folder exists", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    await symlink(at("later/store"), at("link"));
    await using reader = follow(at("link/f"));
    await untilSeen(reader, ["none"]);
    await mkdir(at("later/store"), { recursive: true });
    await writeFile(at("later/store/f"), "1");
    await untilSeen(reader, ["none", "1"]);
    await writeFile(at("later/store/f"), "2");
    await untilSeen(reader, ["none", "1", "2"]);
  });

  test("a folder that is removed and made again at once is watched from then on", async () => {
    await using directory = await temporaryDirectory();
    const folder = join(directory.path, "certs");
    const path = join(folder, "f");
    mkdirSync(folder);
    writeFileSync(path, "0");
    await using reader = follow(path);
    await untilSeen(reader, ["0"]);
    for (const text of ["1", "2", "3", "4", "5"]) {
      rmSync(folder, { recursive: true });
      mkdirSync(folder);
      writeFileSync(path, text);
      await untilLast(reader, text);
      await writeFile(path, `${text} in place`);
      await untilLast(reader, `${text} in place`);
    }
  });

  test("a file whose place a link takes, and the other way round, is seen", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    await writeFile(at("f"), "file");
    await writeFile(at("target"), "target");
    await using reader = follow(at("f"));
    await untilSeen(reader, ["file"]);
    await swapLink("target", at("f"));
    await untilSeen(reader, ["file", "target"]);
    await writeFile(at("target"), "target 2");
    await untilSeen(reader, ["file", "target", "target 2"]);
    await writeFile(at("new"), "file 2");
    await rename(at("new"), at("f"));
    await untilSeen(reader, ["file", "target", "target 2", "file 2"]);
  });

  test("a change without an event is seen by the poll, at the latest", async () => {
    await using directory = await temporaryDirectory();
    const clock = new FakeClock();
    const stop = new AbortController();
    const reports = watchFiles([join(directory.path, "f")], { clock, debounceMs: 20, pollMs: 60_000 }, stop.signal);
    await reports.next();
    const second = reports.next();
    await clock.advance(60_000);
    expect(await second).toEqual({ done: false, value: "poll" });
    stop.abort();
    await reports.return();
  });

  test("the entries of a folder that is given itself are watched, also behind a link", async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    await mkdir(at("store"));
    await symlink("store", at("folder"));
    const stop = new AbortController();
    const reports = watchFiles([at("folder")], options, stop.signal);
    expect(await reports.next()).toEqual({ done: false, value: "start" });
    for (const change of [
      () => writeFile(at("folder/a"), "1"),
      () => writeFile(at("folder/a"), "2"),
      () => rename(at("folder/a"), at("folder/b")),
      () => rm(at("folder/b")),
    ]) {
      await change();
      expect(await reports.next()).toEqual({ done: false, value: "event" });
    }
    stop.abort();
    await reports.return();
  });

  test("a loop of links does not hang it", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "f");
    await symlink("f", path);
    await using reader = follow(path);
    await untilSeen(reader, ["none"]);
    await rm(path);
    await writeFile(path, "1");
    await untilSeen(reader, ["none", "1"]);
  });
});
