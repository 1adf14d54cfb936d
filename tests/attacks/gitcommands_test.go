package attacks

import (
	"strings"
)

// This file has row 44 of the threat model: commands and further files that git's configuration names, and secrets in
// the configuration.

// swap returns the script by which a task replaces the program x of the tree.
func swap(x string) string {
	return "rm -f " + x + "; mv " + x + " gone; mkdir -p $(dirname " + x + "); cp evil " + x + "; chmod 755 " + x + "; ls " + x
}

// fsmonitor is a script that writes a configuration in which git runs $D/pwn.
const fsmonitor = `printf '[core]\n\tfsmonitor=%s/pwn\n' $D `

var gitCommands = []gitTrick{
	{name: "a configuration that GIT_CONFIG_GLOBAL puts in the tree", make: "mkdir conf; echo >conf/git", env: []string{"GIT_CONFIG_GLOBAL=$D/outer/conf/git"},
		task: fsmonitor + ">>conf/git; mv conf c; mkdir conf; " + fsmonitor + ">conf/git", use: "git status"},
	{name: "a configuration that GIT_CONFIG_SYSTEM puts in the tree", make: "mkdir conf; echo >conf/git", env: []string{"GIT_CONFIG_SYSTEM=$D/outer/conf/git"},
		task: fsmonitor + ">>conf/git; mv conf c; mkdir conf; " + fsmonitor + ">conf/git", use: "git status"},
	{name: "a configuration that XDG_CONFIG_HOME puts in the tree", make: "mkdir -p conf/git conf/cordon; echo >conf/git/config", env: []string{"XDG_CONFIG_HOME=$D/outer/conf"},
		task: fsmonitor + ">>conf/git/config; mv conf c; mkdir -p conf/git; " + fsmonitor + ">conf/git/config", use: "git status"},
	{name: "the same, if no such file exists yet", make: "mkdir -p conf/git conf/cordon", env: []string{"XDG_CONFIG_HOME=$D/outer/conf"},
		task: fsmonitor + ">conf/git/config; mv conf/git conf/g; mv conf c; mkdir -p conf/git; " + fsmonitor + ">conf/git/config", use: "git status", refused: true},
	{name: "a file that the user's configuration includes", make: "echo >inc; printf '[include]\\n\\tpath=outer/inc\\n' >../.gitconfig",
		task: fsmonitor + ">>inc; mv inc i; " + fsmonitor + ">inc", use: "git status"},
	{name: "a file that the user's configuration includes by includeIf", make: "mkdir d; echo >d/inc; printf '[includeIf \"gitdir:%s/\"]\\n\\tpath=%s/outer/d/inc\\n' $D $D >../.gitconfig",
		task: fsmonitor + ">>d/inc; mv d i; mkdir d; " + fsmonitor + ">d/inc", use: "git status"},
	{name: "a program of core.fsmonitor", make: "echo : >f; chmod 755 f; git config core.fsmonitor ./f", task: swap("f"), use: "git status"},
	{name: "a script that core.fsmonitor gives to an interpreter", make: "echo : >f.sh; git config core.fsmonitor 'sh f.sh'", task: swap("f.sh"), use: "git status"},
	{name: "a program of an alias", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config alias.x '!t/f now'", task: swap("t/f"), use: "git x"},
	{name: "a program that an alias names after cd", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config alias.x '!cd t && ./f now'", task: swap("t/f"), use: "git x"},
	{name: "a program that an alias names by a variable", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config alias.x '!\"$(git rev-parse --show-toplevel)/t/f\"'", task: swap("t/f"), use: "git x"},
	{name: "a program that an alias names by $PWD", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config alias.x '!exec ${PWD}/t/f'", task: swap("t/f"), use: "git x"},
	{name: "a program whose name continues after a quoted part", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config core.fsmonitor '\"$(git rev-parse --show-toplevel)\"/t/f'",
		task: swap("t/f"), use: "git status"},
	{name: "a file that a hook reads, its name continuing after quotes", make: "mkdir t; echo : >t/f; printf '#!/bin/sh\\n. \"$(dirname \"$0\")\"/../t/f\\n' >hooks/pre-commit; chmod 755 hooks/pre-commit",
		task: swap("t/f"), use: "git -c user.name=a -c user.email=b commit --allow-empty -m x"},
	{name: "a program of GIT_CONFIG_PARAMETERS", make: "mkdir t; echo : >t/f; chmod 755 t/f", env: []string{"GIT_CONFIG_PARAMETERS='core.fsmonitor=t/f'"},
		task: swap("t/f"), use: "git status"},
	{name: "a program that is called by a program after options", make: "mkdir t; echo : >t/g; echo t/g >t/f; chmod 755 t/*; git config core.fsmonitor 'env -u A t/f'",
		task: swap("t/g"), use: "git status"},
	{name: "the command of a remote's address", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config protocol.ext.allow always; git remote add r 'ext::t/f x'",
		task: swap("t/f"), use: "git fetch r"},
	{name: "a filter's smudge", make: "mkdir t; echo cat >t/f; chmod 755 t/f; git config filter.x.smudge ./t/f; git config filter.x.clean cat",
		task: swap("t/f") + "; echo 'a filter=x' >.gitattributes; rm a", use: "git checkout -f a"},
	{name: "a filter's process", make: "mkdir t; echo cat >t/f; chmod 755 t/f; git config filter.x.process 'sh ./t/f'", task: swap("t/f") + "; echo 'a filter=x' >.gitattributes; rm a", use: "git checkout -f a"},
	{name: "a diff driver's textconv", make: "mkdir t; echo cat >t/f; chmod 755 t/f; git config diff.x.textconv t/f", task: swap("t/f") + "; echo 'a diff=x' >.gitattributes; echo >a", use: "git diff"},
	{name: "a diff driver's command", make: "mkdir t; echo cat >t/f; chmod 755 t/f; git config diff.x.command t/f", task: swap("t/f") + "; echo 'a diff=x' >.gitattributes; echo >a", use: "git diff"},
	{name: "diff.external", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config diff.external t/f", task: swap("t/f") + "; echo >a", use: "git diff"},
	{name: "a merge driver", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config merge.x.driver 't/f %A'; git checkout -q -b o; echo o >a; git commit -qam o; git checkout -q -; echo m >a; git commit -qam m",
		task: swap("t/f") + "; echo 'a merge=x' >.gitattributes", use: "git -c user.name=a -c user.email=b merge -m x o"},
	{name: "core.sshCommand", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config core.sshCommand 'python3 t/f -x'; git config core.sshCommand 't/f'; git remote add r ssh://x/y",
		task: swap("t/f"), use: "git fetch r"},
	{name: "a remote's uploadpack", make: "mkdir t; echo : >t/f; chmod 755 t/f; git remote add r $D/lib; git config remote.r.uploadpack $D/outer/t/f", task: swap("t/f"), use: "git fetch r"},
	{name: "a submodule's update command", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config submodule.pop.update '!../t/f'", task: swap("t/f") + "; cd pop; git checkout -q HEAD~0; echo >>x", use: "git config submodule.pop.active true; cd pop; git -c user.name=a -c user.email=b commit -qam y; cd ..; git submodule update pop"},
	{name: "the program of core.editor", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config core.editor t/f", task: swap("t/f"), use: "git -c user.name=a -c user.email=b commit --allow-empty"},
	{name: "the program of GIT_EDITOR", make: "mkdir t; echo : >t/f; chmod 755 t/f", env: []string{"GIT_EDITOR=$D/outer/t/f"}, task: swap("t/f"), use: "git -c user.name=a -c user.email=b commit --allow-empty"},
	{name: "the program of credential.helper", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config credential.helper $D/outer/t/f", task: swap("t/f"), use: `printf 'protocol=https\nhost=x\n\n' | git credential fill`},
	{name: "the program of gpg.program", make: "mkdir t; echo : >t/f; chmod 755 t/f; git config gpg.program t/f", task: swap("t/f"), use: "git -c user.name=a -c user.email=b commit -S --allow-empty -m x"},
	{name: "a program that does not exist yet", make: "git config alias.x '!sh gone.sh'", task: "cp evil gone.sh", use: "git x", refused: true},
	{name: "a program in a directory that does not exist yet", make: "git config core.fsmonitor ./gone/f", task: "mkdir gone; cp evil gone/f", use: "git status", refused: true},
	{name: "a program that a hook calls", make: "git config --unset core.hooksPath; mkdir t; echo : >t/f; chmod 755 t/f; printf '#!/bin/sh\\n./t/f || exit 1\\n' >.git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit",
		task: swap("t/f"), use: "git -c user.name=a -c user.email=b commit --allow-empty -m x"},
	{name: "a file that a hook reads with a dot", make: "mkdir t; echo : >t/f; printf '#!/bin/sh\\n. \"$(dirname \"$0\")/../t/f\"\\n' >hooks/pre-commit; chmod 755 hooks/pre-commit",
		task: swap("t/f"), use: "git -c user.name=a -c user.email=b commit --allow-empty -m x"},
	{name: "a program that a hook's program calls", make: "mkdir t; echo : >t/g; chmod 755 t/g; printf '#!/bin/sh\\nexec t/g\\n' >t/f; chmod 755 t/f; printf '#!/bin/sh\\nbash t/f\\n' >hooks/pre-commit; chmod 755 hooks/pre-commit",
		task: swap("t/g"), use: "git -c user.name=a -c user.email=b commit --allow-empty -m x"},
	{name: "the template for new repositories, in the tree", make: "mkdir -p tm/hooks; echo : >tm/hooks/post-checkout; chmod 755 tm/hooks/*; git config init.templateDir tm",
		task: "cp evil tm/hooks/post-checkout; mv tm t2; mkdir -p tm/hooks; cp evil tm/hooks/post-checkout", use: "git -c init.templateDir=$D/outer/tm clone -q $D/lib new"},
	{name: "a bare repository in the tree", make: "git init -q --bare b; mkdir t; echo : >t/f; chmod 755 t/f; git -C b config core.fsmonitor $D/outer/t/f; git -C b config alias.x '!../t/f'",
		task: swap("t/f"), use: "cd b; git x"},
	{name: "the repository that a worktree belongs to", dir: "wt", on: []string{"build", "agent"}, make: "git worktree add -q ../wt; git config --unset core.hooksPath",
		task: "cd $D/outer/.git; mv hooks h; mkdir -p hooks; cd $D/wt; cp evil $D/outer/.git/hooks/pre-commit; cp evil $D/outer/.git/hooks/post-index-change; git config core.fsmonitor $D/pwn; " +
			fsmonitor + ">>$D/outer/.git/config; mkdir -p e/objects e/refs; cp $D/outer/.git/HEAD e; " + fsmonitor + ">e/config; echo $D/wt/e >$D/outer/.git/commondir; " +
			"for w in $D/outer/.git/worktrees/*; do echo $D/wt/e >$w/commondir; mv $w/commondir $w/c; done",
		use: "git status; cd ../outer; git status; git -c user.name=a -c user.email=b commit --allow-empty -m x"},
	{name: "the repository of a submodule", dir: "outer/pop", on: []string{"build", "agent"},
		task: "G=$D/outer/.git/modules/pop; mv $G/hooks $G/h; mkdir -p $G/hooks; cp evil $G/hooks/pre-commit; cp evil $G/hooks/post-index-change; " +
			"git config core.fsmonitor $D/pwn; mv $G/config $G/c; cp $G/c $G/config; " + fsmonitor + ">>$G/config",
		use: "git status; cd ..; git status; cd pop; git -c user.name=a -c user.email=b commit --allow-empty -m x"},
}

// A gitSecret is a secret in git's files, such as a password in an address.
type gitSecret struct {
	name string
	make string // makes the secret in the repository
	env  []string
	dir  string // the same as in a gitTrick
	on   []string
	task string // the script of an earlier task
}

const readAll = "cat .git/config .git/modules/*/config .git/worktrees/*/config* .gitconfig more inc conf/git/config conf/git/credentials .git-credentials .netrc key c/.git/config ../.gitconfig b.git/config $D/outer/.git/config $D/outer/.git/modules/*/config $D/priv/.git/config; git config -l --show-origin; git remote -v"

var gitSecrets = []gitSecret{
	{name: "a token in a header", make: "git config http.https://x.org/.EXTRAHEADER \"X: $M\""},
	{name: "a password in an address", make: "git remote add r https://u:$M@x.org/"},
	{name: "a password with a slash in an address", make: "git remote add r https://u%40b:p/$M@x.org/"},
	{name: "a token in the query of an address", make: "git remote add r \"https://x.org/a?private_token=$M\""},
	{name: "a token in the path of an address", make: "git remote add r https://x.org/ghp_AAAAAAAAAAAAAAAAAA$M/a"},
	{name: "a password in a proxy without a scheme", make: "git config http.proxy u:$M@x.org:3128"},
	{name: "a header in an alias", make: "git config alias.f \"-c http.extraHeader=Authorization:$M fetch\""},
	{name: "a variable in an alias", make: "git config alias.f \"!GH_TOKEN=$M gh x\""},
	{name: "passwords for mail", make: "git config sendemail.work.smtpPass $M; git config imap.pass $M"},
	{name: "a credential helper whose command contains the password", make: "git config credential.helper \"!echo password=$M\""},
	{name: "a password in a comment of .git/config", make: "echo \"# url = https://u:$M@x.org\" >>.git/config"},
	{name: "the file of a credential helper", make: "echo https://u:$M@x.org >key; git config credential.helper 'store --file=key'"},
	{name: "the file of a credential helper in the user's configuration", make: "echo https://u:$M@x.org >key; printf '[credential]\\n\\thelper = store --file %s/outer/key\\n' $D >../.gitconfig"},
	{name: "the key of an ssh command", make: "echo $M >key; git config core.sshCommand 'ssh -i key'"},
	{name: "a file of credentials in the tree", make: "echo https://u:$M@x.org >.git-credentials; echo $M >.netrc"},
	{name: "files of credentials in XDG_CONFIG_HOME, in the tree", make: "mkdir -p conf/git conf/cordon; echo https://u:$M@x.org >conf/git/credentials; git config -f conf/git/config remote.r.url https://u:$M@x.org", env: []string{"XDG_CONFIG_HOME=$D/outer/conf"}},
	{name: "a password in a file that .git/config includes", make: "git config -f more remote.r.url https://u:$M@x.org"},
	{name: "a token in a file that the user's configuration includes", make: "git config -f inc github.token $M; printf '[include]\\n\\tpath=outer/inc\\n' >../.gitconfig"},
	{name: "a token in the user's configuration", make: "git config -f ../.gitconfig github.token $M"},
	{name: "a password in the configuration of a submodule", make: "git -C pop remote set-url origin https://u:$M@x.org"},
	{name: "a token in the configuration of a worktree", make: "git config core.repositoryFormatVersion 1; git config extensions.worktreeConfig true; git worktree add -q wt; git -C wt config --worktree x.token $M"},
	{name: "a password in a repository below", make: "git init -q c; git -C c remote add r https://u:$M@x.org"},
	{name: "a token in the user's configuration, in build", on: []string{"build"}, make: "git config -f ../.gitconfig github.token $M; git config -f ../.gitconfig credential.helper \"!echo $M\""},
	{name: "a password in the repository of a worktree", dir: "wt", on: []string{"build", "agent"}, make: "git config --unset core.hooksPath; git worktree add -q ../wt; git remote add r https://u:$M@x.org; git -C pop config x.token $M"},
	{name: "a password in the repository of a submodule", dir: "outer/pop", on: []string{"build", "agent"}, make: "git -C pop remote add r https://u:$M@x.org"},
	{name: "a .git that names another repository", dir: "p", on: usual, make: "git init -q ../p; git init -q ../priv; git -C ../priv config x.y $M; git -C ../p commit -q --allow-empty -m x",
		task: "mv .git g; echo gitdir: ../priv/.git >.git; cp .git h; mkdir -p w/worktrees/a; cp g/HEAD w/worktrees/a; echo $D/priv/.git >w/worktrees/a/commondir; echo $D/p/.git >w/worktrees/a/gitdir"},
	{name: "a .git that names a worktree made by the task", dir: "p", on: []string{"build"}, make: "git init -q ../p; git init -q ../priv; git -C ../priv config x.y $M; git -C ../p commit -q --allow-empty -m x",
		task: "mv .git g; mkdir -p w/worktrees/a; cp g/HEAD w/worktrees/a; echo $D/priv/.git >w/worktrees/a/commondir; echo $D/p/.git >w/worktrees/a/gitdir; echo gitdir: w/worktrees/a >.git"},
	{name: "a password in a bare repository", make: "git init -q --bare b.git; git -C b.git remote add r https://u:$M@x.org"},
}

func (g gitSecret) attack(b *box) outcome {
	dir, task := b.gitTask(g.make, g.dir, g.env)
	for range 2 {
		if g.task != "" {
			task.run("sh", "-c", strings.ReplaceAll(g.task, "$D", dir))
		}
		switch r := task.run("sh", "-c", strings.ReplaceAll(readAll, "$D", dir)+"; git log -1 --format=format:read"); {
		case strings.Contains(r.out+r.err, b.site.mark):
			return escaped("it is readable")
		case g.task == "" && r.code != 0 || g.task == "" && !strings.Contains(r.out, "read"):
			return broken("exit %d: %s", r.code, firstLines(r.err, 3))
		}
	}
	return blocked("EACCES")
}
