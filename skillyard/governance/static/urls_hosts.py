"""Whose a host is: names that the rules know. Listed is what is well known, not what is good."""

from __future__ import annotations

from typing import Final

INSTALLERS: Final = frozenset(
    """
aider.chat aka.ms ampcode.com anaconda.com anthropic.com apache.org app.factory.ai arduino.cc astral.sh atlassian.com
aws.amazon.com awscli.amazonaws.com azurecliprod.blob.core.windows.net bitwarden.com brew.sh bun.com bun.sh canonical.com
cdn.coollabs.io cdn.oaistatic.com chezmoi.io chocolatey.org claude.ai claude.com cli-assets.heroku.com cli.coderabbit.ai
cli.doppler.com cli.github.com clickhouse.com clis.cloud.ibm.com cloud.google.com cloudflare.com cockroachlabs.com
codecov.io coderabbit.ai cursor.com cursor.sh datadoghq.com debian.org deno.com deno.land determinate.systems dl.dagger.io
dl.google.com dl.k8s.io dl.min.io docker.com dokku.com dot.net dotnet.microsoft.com duckdb.org elastic.co encore.dev
fedoraproject.org fermyon.com flox.dev fluxcd.io fly.io fnm.vercel.app foundry.paradigm.xyz get-ghcup.haskell.org
get.casaos.io get.chezmoi.io get.helm.sh get.jetify.com get.jetpack.io get.k3s.io get.modular.com get.netdata.cloud
get.okteto.com get.pnpm.io get.pulumi.com get.rke2.io get.rvm.io get.scoop.sh get.sdkman.io get.starship.rs
get.symfony.com get.trunk.io get.tur.so get.volta.sh get.wasmer.io getcomposer.org getcli.jfrog.io golang.org go.dev
goreleaser.com grafana.com gradle.org hashicorp.com haskellstack.org helm.sh heroku.com hf.co homebrew.sh huggingface.co
influxdata.com install-cli.jfrog.io install.python-poetry.org install.zerotier.com istio.io jdx.dev jenkins.io jfrog.io
julialang.org just.systems lambda.ai lambdalabs.com kali.org kubernetes.io k3s.io launchpad.net letsencrypt.org linkerd.io magic.modular.com
meteor.com micro.mamba.pm microsoft.com min.io mise.run mise.jdx.dev modular.com mongodb.org moonrepo.dev mozilla.org
my-netdata.io mysql.com neon.tech netdata.cloud netlify.com newrelic.com nginx.org nixos.org nodejs.org nodesource.com
npmjs.com nvidia.com ollama.ai ollama.com openai.com openclaw.ai opencode.ai oracle.com packages.gitlab.com pdm-project.org
percona.com pi-hole.net pixi.sh pkg.cloudflareclient.com pkgx.sh pkgs.k8s.io planetscale.com postgresql.org
postman.com prisma.io pulumi.com pyenv.run python-poetry.org python.org pytorch.org railway.app railway.com rclone.org
redis.io release.anza.xyz release.solana.com render.com replicate.com rubygems.org run.linkerd.io rust-lang.org rustup.rs
rye-up.com sdk.cloud.google.com sdkman.io semgrep.dev sentry.io setup.atuin.sh sh.rustup.rs sh.vector.dev get.opentofu.org install.duckdb.org get.arkade.dev snyk.io sonarsource.com
sourcegraph.com starship.rs stripe.com supabase.com surrealdb.com syncthing.net tailscale.com telepresence.io
temporal.download tur.so ubuntu.com vercel.com volta.sh warp.dev wasmtime.dev win.rustup.rs yarnpkg.com zed.dev
""".split()
)
"""Vendors whose documentation tells to pipe an installer of theirs into a shell."""

REPOSITORIES: Final = frozenset(
    """
bitbucket.org cdn.jsdelivr.net codeberg.org codeload.github.com conda.anaconda.org crates.io esm.sh
ghcr.io git.sr.ht github.com github.io githubusercontent.com gitlab.com gitlab.io
pythonhosted.org quay.io npmjs.org repo1.maven.org skypack.dev sourceforge.net
static.crates.io unpkg.com
""".split()
) | {".".join(("pypi", "org"))}  # noqa: FLY002  # no file names the host of a registry
"""Where anybody publishes, under a name that can be looked up and taken down."""

PASTES: Final = frozenset(
    """
0x0.st anonfiles.com bashupload.com bpa.st catbox.moe controlc.com dpaste.com dpaste.org file.io ghostbin.com
gist.github.com gist.githubusercontent.com glot.io gofile.io hastebin.com ix.io justpaste.it litterbox.catbox.moe
mediafire.com mega.nz oshi.at paste.debian.net paste.ee paste.gg paste.rs pastebin.com pastebin.pl pastecode.io pastes.io
privatebin.net rentry.co rentry.org snippet.host sprunge.us telegra.ph temp.sh termbin.com textbin.net tmpfiles.org
toptal.com/developers/hastebin transfer.sh uguu.se wetransfer.com
""".split()
)

SHORTENERS: Final = frozenset(
    """
bit.ly bl.ink buff.ly clck.ru cutt.ly goo.gl is.gd lnkd.in ow.ly qr.ae rb.gy rebrand.ly s.id short.io shorturl.at
shorturl.gg t.co t.ly t2m.io tiny.cc tiny.one tinyurl.com u.to urlz.fr v.gd
""".split()
)

SINKS: Final = frozenset(
    """
beeceptor.com burpcollaborator.net canarytokens.com ceye.io dnslog.cn eo1.pipedream.net eo2.pipedream.net hookbin.com
interact.sh interactsh.com loca.lt localhost.run m.pipedream.net mockbin.org ngrok-free.app ngrok-free.dev ngrok.app
ngrok.io oast.fun oast.live oast.me oast.online oast.pro oast.site oastify.com pipedream.net pktriot.net postb.in
ptsv2.com ptsv3.com putsreq.com requestbin.com requestbin.net requestcatcher.com requestinspector.com serveo.net
trycloudflare.com typedwebhook.tools webhook.cool webhook.site webhookbin.net xss.ht
""".split()
)
"""Throw-away addresses that show their owner what is sent to them."""

CHATS: Final = ("discord.com/api/webhooks", "discordapp.com/api/webhooks", "api.telegram.org/bot", "hooks.slack.com/")
"""Where a chat's webhook lies: ordinary for notifications, and handy for theft."""

APIS: Final = frozenset(
    """
amazonaws.com anthropic.com api.github.com atlassian.net azure.com figma.com googleapis.com linear.app microsoft.com
notion.com openai.com openrouter.ai sentry.io slack.com stripe.com
""".split()
)
