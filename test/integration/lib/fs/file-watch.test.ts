// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { watchFiles } from "../../../../src/lib/fs/file-watch.ts";
import { eventually } from "../../../support/eventually.ts";
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
    await eventually(
      () => {
        expect(reader.seen.at(-1)).toBe("2");
      },
      { withinMs: 3_000 },
    );
    await writeFile(at("certs/f"), "3");
    await eventually(
      () => {
        expect(reader.seen.at(-1)).toBe("3");
      },
      { withinMs: 3_000 },
    );
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
