// SPDX-License-Identifier: Apache-2.0
// Writes docs/configuration.md from the tables of the program.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderConfigurationPage } from "../src/config/configuration-page.ts";

writeFileSync(join(import.meta.dirname, "../docs/configuration.md"), renderConfigurationPage());
