// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/parity_view.h"

#include <stdbool.h>

#include "core/packet.h"

#define VXLAN_VALID 0x08 /* first byte of a VXLAN header: the VNI is valid */

struct walk {
	const uint8_t *frame;
	size_t at, end;
};

static unsigned int load16(const struct walk *w, size_t at)
{
	return (unsigned int)w->frame[w->at + at] << 8 | w->frame[w->at + at + 1];
}

static size_t left(const struct walk *w)
{
	return w->end - w->at;
}

static void trim(struct walk *w, size_t to)
{
	if (to < left(w))
		w->end = w->at + to;
}

/* Ethernet, tags, up to a whole IPv4 header. */
static enum parity_unseen skip_link(struct walk *w)
{
	unsigned int proto, tags = 0;
	size_t header;

	if (left(w) < ETH_HLEN)
		return PARITY_TOO_SHORT;
	proto = load16(w, 12);
	w->at += ETH_HLEN;
	for (; (proto == ETH_P_8021Q || proto == ETH_P_8021AD) && tags < DF_VLAN_TAGS_MAX; tags++) {
		if (left(w) < sizeof(struct df_vlan))
			return PARITY_TOO_SHORT;
		proto = load16(w, 2);
		w->at += sizeof(struct df_vlan);
	}
	if (proto != ETH_P_IP)
		return PARITY_NOT_IPV4;
	if (left(w) < sizeof(struct df_ipv4))
		return PARITY_TOO_SHORT;
	header = (size_t)(w->frame[w->at] & 0x0f) * 4;
	if (load16(w, 2) >= header && load16(w, 2) >= sizeof(struct df_ipv4))
		trim(w, load16(w, 2));
	return PARITY_SHOWN;
}

/* From the outer IPv4 header to the inner frame; not a step where there is none. */
static enum parity_unseen skip_tunnel(const struct df_policy *policy, struct walk *w)
{
	const uint8_t *ip = w->frame + w->at;
	const size_t udp = (size_t)(ip[0] & 0x0f) * 4, vxlan = udp + sizeof(struct df_udp),
		     inner = vxlan + sizeof(struct df_vxlan);
	uint32_t vni;

	if (ip[0] >> 4 != 4 || udp < sizeof(struct df_ipv4) || ip[9] != DF_IPPROTO_UDP ||
	    load16(w, 2) < vxlan || load16(w, 6) & 0x1fff)
		return PARITY_NOT_TUNNEL;
	if (left(w) < inner)
		return PARITY_TOO_SHORT;
	if (load16(w, udp + 2) != VXLAN_PORT || !(ip[vxlan] & VXLAN_VALID))
		return PARITY_NOT_TUNNEL;
	trim(w, udp + load16(w, udp + 4));
	if (left(w) < inner)
		return PARITY_TOO_SHORT;
	vni = load16(w, vxlan + 4) << 8 | ip[vxlan + 6];
	w->at += inner;
	return df_vni_known(policy, vni) ? PARITY_SHOWN : PARITY_NOT_TUNNEL;
}

/* A tunnel that is not ours is walked into as well: so it is known what an XDP program that should not
 * have touched it did touch. */
static enum parity_unseen walk_tunnel(const struct df_policy *policy, struct walk *w)
{
	size_t outer = w->at;
	enum parity_unseen tunnel = skip_tunnel(policy, w), inner;

	if (w->at == outer)
		return tunnel;
	inner = skip_link(w);
	return tunnel == PARITY_SHOWN ? inner : tunnel;
}

enum parity_unseen parity_view(const struct df_policy *policy, const uint8_t *frame, size_t len,
			       struct parity_view *out)
{
	struct walk w = { .frame = frame, .end = len };
	enum parity_unseen unseen = skip_link(&w);

	if (policy->encap == DF_ENCAP_VXLAN)
		unseen = unseen == PARITY_SHOWN      ? walk_tunnel(policy, &w)
			 : unseen == PARITY_NOT_IPV4 ? PARITY_NOT_TUNNEL
						     : unseen;
	*out = (struct parity_view){ .at = w.at, .len = left(&w) };
	return unseen;
}

/* RFC 1071: is the one's-complement sum all ones? */
static bool sum_ok(const struct walk *w, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += load16(w, i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

enum parity_unseen parity_stack(const struct parity_bytes *packet)
{
	const struct walk w = { .frame = packet->data, .end = packet->len };
	size_t header;

	if (left(&w) < sizeof(struct df_ipv4) || w.frame[0] >> 4 != 4)
		return PARITY_BAD_HEADER;
	header = (size_t)(w.frame[0] & 0x0f) * 4;
	if (header < sizeof(struct df_ipv4) || left(&w) < header)
		return PARITY_BAD_HEADER;
	if (!sum_ok(&w, header))
		return PARITY_BAD_CHECKSUM;
	if (load16(&w, 2) > left(&w))
		return PARITY_BAD_LENGTH;
	return load16(&w, 2) < header ? PARITY_BAD_HEADER : PARITY_SHOWN;
}
