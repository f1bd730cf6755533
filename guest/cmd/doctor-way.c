/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By which way programs of this machine reach the host: as vgpu_session_open() chooses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "address.h"
#include "doctor.h"

static bool doctor_exists(const doctor *d, const char *path)
{
    char buffer[PATH_MAX];
    struct stat st;

    return stat(doctor_path(d, path, buffer), &st) == 0;
}

/* The marks of Podman, Docker and systemd-nspawn, and what most set. */
static bool doctor_is_container(const doctor *d)
{
    return doctor_exists(d, "/run/.containerenv") || doctor_exists(d, "/.dockerenv") ||
           doctor_exists(d, "/run/systemd/container") || getenv("container");
}

static void doctor_no_way(doctor *d)
{
    if (d->is_container)
        doctor_add(d, "device", DOCTOR_FAIL,
                   "start the container with the host's " VGPU_SOCKET_PATH
                   " mounted at the same path; see vgpu-containers(7)",
                   "This is a container without a vgpu device and without the mediator's socket, "
                   "%s.",
                   d->usual_socket);
    else
        doctor_add(d, "device", DOCTOR_FAIL,
                   "on the host: 'vgpuctl attach NAME', then shut this machine down and start it "
                   "again; see vgpu-libvirt(7)",
                   "The host has given this machine no vgpu device (PCI 1af4:1111), and no "
                   "mediator's socket is here, %s.",
                   d->usual_socket);
}

/* Without a name of either, a device counts before the usual socket. */
static int doctor_find_device(doctor *d)
{
    int r = address_find(&d->paths, d->o->device, d->address);

    if (r == -EINVAL) {
        complain("invalid device '%s': give a number or a PCI address", d->o->device);
        return EXIT_USAGE;
    }
    if (r == 0) {
        doctor_add(d, "device", DOCTOR_OK, NULL, "The device is %s.", d->address);
        return EXIT_OK;
    }
    d->address[0] = '\0';
    if (r != -ENODEV)
        doctor_add(d, "device", DOCTOR_FAIL, NULL, "Cannot look for devices: %s.",
                   vgpu_strerror(r));
    else if (d->o->device)
        doctor_add(d, "device", DOCTOR_FAIL, "'vgpu info' lists those that there are",
                   "There is no vgpu device '%s'.", d->o->device);
    else if (doctor_exists(d, VGPU_SOCKET_PATH))
        d->socket = d->usual_socket;
    else
        doctor_no_way(d);
    return EXIT_OK;
}

int doctor_way(doctor *d)
{
    const char *socket = getenv("VGPU_SOCKET");
    int code = EXIT_OK;

    doctor_path(d, VGPU_SOCKET_PATH, d->usual_socket);
    d->is_container = doctor_is_container(d);
    if (!d->o->device && socket && *socket)
        d->socket = socket;
    else
        code = doctor_find_device(d);
    if (d->socket) {
        doctor_add(d, "device", DOCTOR_OK, NULL, "Programs here use the mediator's socket %s%s.",
                   d->socket, d->socket == socket ? ", as $VGPU_SOCKET says" : "");
        d->is_reached = true;
    }
    return code;
}
