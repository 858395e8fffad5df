// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grant: a file that lets its holder claim a name.
 *
 * A uid is not enough to tell the process that is to serve "pool_manager" from
 * another one of the same user. On a bus that wants it, a name is claimed with
 * a file that the bus's creator opened, and gave to whom it chose: a child, or
 * the receiver of a message over a socket.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bus.h"
#include "grant.h"

struct grant {
	u64 bus;
	char name[SYMPHONY_NAME_MAX + 1];
};

static int grant_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct file_operations grant_fops = {
	.owner = THIS_MODULE,
	.release = grant_release,
};

/**
 * symp_grant_open() - GRANT
 * @bus: the bus
 * @name: the service, checked; it need not be there
 * @ufd: (out) a file descriptor, close-on-exec
 *
 * May sleep. Return: 0 or a negative errno, with no descriptor.
 */
int symp_grant_open(const struct symp_bus *bus, const char *name, __s32 __user *ufd)
{
	struct grant *grant;
	struct file *file;
	int fd, err;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	grant = kmalloc(sizeof(*grant), GFP_KERNEL_ACCOUNT);
	if (!grant) {
		err = -ENOMEM;
		goto err_put_fd;
	}
	grant->bus = bus->id;
	strscpy(grant->name, name);
	file = anon_inode_getfile("[symphony-grant]", &grant_fops, grant, 0);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto err_free_grant;
	}
	err = put_user(fd, ufd);
	if (err)
		goto err_put_file;
	fd_install(fd, file);
	return 0;

err_put_file:
	/* Takes the grant along. */
	fput(file);
	goto err_put_fd;
err_free_grant:
	kfree(grant);
err_put_fd:
	put_unused_fd(fd);
	return err;
}

/* Does @fd allow to claim @name on @bus? 0, -EBADF, -EPERM. */
int symp_grant_check(int fd, const struct symp_bus *bus, const char *name)
{
	struct file *file = fget(fd);
	struct grant *grant;
	int err = -EBADF;

	if (!file)
		return err;
	if (file->f_op == &grant_fops) {
		grant = file->private_data;
		err = grant->bus == bus->id && !strcmp(grant->name, name) ?
			0 : -EPERM;
	}
	fput(file);
	return err;
}
